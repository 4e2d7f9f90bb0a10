"""How contents and names of files are encrypted.

`segments` says where every byte of an encrypted file is, from its size alone; `cipher` encrypts and decrypts its
segments; `views` reads ranges of the one as the other; `names` is about names and targets of links. Keys come from
`keys`; nothing here knows aliases, projects, CARs or the catalog.
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
