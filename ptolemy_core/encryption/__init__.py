"""Encryption of the contents and names of files.

`segments` computes where every byte of an encrypted file is, from its size alone; `cipher` encrypts and decrypts
segments; `views` reads byte ranges of a file in its encrypted or decrypted form; `names` encrypts names and link
targets. Keys come from `keys`; nothing here knows aliases, projects, CARs or the catalog.
"""

from ptolemy_core.encryption.cipher import FileCipher, Header, associated_data
from ptolemy_core.encryption.names import NameCipher
from ptolemy_core.encryption.segments import SEGMENT, Segments, encrypted_size, plain_size
from ptolemy_core.encryption.views import Decrypted, Encrypted, Reader

__all__ = [
    "SEGMENT",
    "Decrypted",
    "Encrypted",
    "FileCipher",
    "Header",
    "NameCipher",
    "Reader",
    "Segments",
    "associated_data",
    "encrypted_size",
    "plain_size",
]
