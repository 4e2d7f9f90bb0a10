"""Files in memory that are read as sources are, and the slow, obvious form of the encrypted format."""

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ptolemy_core.encryption import Decrypted, Encrypted, FileCipher, Header
from ptolemy_core.keys import Secret

SMALL = 64
"""Bytes of a segment that reach many segments with few bytes: 8 of plaintext in the first, 48 in others."""

KEY = Secret(bytes(range(32)))
HEADER = Header(bytes(range(100, 132)), bytes(range(7)))
PATH = b"folder\0b.bin"


class Memory:
    """Bytes that are read as a file; it counts its reads."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        self.reads.append((offset, sum(map(len, buffers))))
        done = 0
        for buffer in buffers:
            part = self.data[offset + done : offset + done + len(buffer)]
            buffer[: len(part)] = part
            done += len(part)
        return done


def plaintext(size: int) -> bytes:
    """Bytes that look random, the same each time."""
    return hashlib.shake_128(b"plaintext %d" % size).digest(size)


def cipher(size: int, *, key: Secret = KEY, header: Header = HEADER, path: bytes = PATH) -> FileCipher:
    """A cipher with small segments."""
    return FileCipher(key, header, path, size, segment=SMALL)


def encrypted_view(plain: bytes) -> Encrypted:
    """The encrypted form of bytes, with small segments."""
    return Encrypted(Memory(plain), cipher(len(plain)))


def decrypted_view(
    encrypted: bytes, size: int | None = None, *, key: Secret = KEY, path: bytes = PATH
) -> Decrypted:
    """The plaintext of an encrypted file with small segments, by its own header."""
    size = len(encrypted) if size is None else size
    return Decrypted.open(Memory(encrypted), size, key, path, segment=SMALL)


def read(view: Encrypted | Decrypted, offset: int, length: int) -> bytes:
    """A range, in one buffer."""
    buffer = bytearray(b"?" * length)
    return bytes(buffer[: view.read_into(offset, memoryview(buffer))])


def everything(view: Encrypted | Decrypted) -> bytes:
    """A whole file."""
    return read(view, 0, view.size)


def slow_encryption(plain: bytes, key: bytes, header: Header, path: bytes, segment: int = SMALL) -> bytes:
    """The format as its specification says it, from start to end."""
    info = b"ptolemy/1:" + path.replace(b"\0", b"/")
    extracted = hmac.digest(header.salt, key, "sha256")
    derived = hmac.digest(extracted, info + b"\1", "sha256")
    out = b"\x28" + header.salt + header.prefix
    parts = [plain[: segment - 56]]
    rest = plain[segment - 56 :]
    while rest:
        parts.append(rest[: segment - 16])
        rest = rest[segment - 16 :]
    for number, part in enumerate(parts):
        last = b"\1" if number == len(parts) - 1 else b"\0"
        out += AESGCM(derived).encrypt(header.prefix + number.to_bytes(4, "big") + last, part, None)
    return out
