"""Encryption of the contents and names of files.

`segments` computes where every byte of an encrypted file is, from its size alone; `cipher` encrypts and decrypts
segments; `views` reads byte ranges of a file in its encrypted or decrypted form; `names` encrypts names and link
targets; `form` says how large entries are in CARs, and `project` has all ciphers of one project. Keys come from
`keys`; nothing here knows aliases or the catalog.

What encrypts is imported when it is first used: who only computes sizes needs no cipher.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ptolemy_core.encryption.form import PLAIN, Form
from ptolemy_core.encryption.headers import Header, random_headers
from ptolemy_core.encryption.segments import SEGMENT, Segments, encrypted_size, plain_size

if TYPE_CHECKING:
    from ptolemy_core.encryption.cipher import FileCipher, associated_data
    from ptolemy_core.encryption.names import NameCipher
    from ptolemy_core.encryption.project import ProjectCipher
    from ptolemy_core.encryption.views import Decrypted, Encrypted, Reader

__all__ = [
    "PLAIN",
    "SEGMENT",
    "Decrypted",
    "Encrypted",
    "FileCipher",
    "Form",
    "Header",
    "NameCipher",
    "ProjectCipher",
    "Reader",
    "Segments",
    "associated_data",
    "encrypted_size",
    "plain_size",
    "random_headers",
]

_MODULES = {
    "FileCipher": "cipher",
    "associated_data": "cipher",
    "NameCipher": "names",
    "ProjectCipher": "project",
    "Decrypted": "views",
    "Encrypted": "views",
    "Reader": "views",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
