"""Encrypted manifests: a line of JSON, then the manifest as Tink's streaming AEAD, under the project's data key.

The line has the project's wrapped data keys, so that the manifest and the key of the alias are enough to read it, and
to extract the project's CARs. The associated data is `ptolemy/1:/manifest/` and the SHA-256 of the line, in hex; no
path in a CAR begins with `/`. Format of the line:

    {"format": "ptolemy-encrypted-manifest/1", "form": "parquet", "keys": [see `keys.wrapping`]}
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, BinaryIO

from ptolemy_core import encryption
from ptolemy_core.encryption import SEGMENT, Header
from ptolemy_core.encryption.segments import HEADER, TAG
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys import KeyProvider, Secret, WrappedKey, unwrap
from ptolemy_core.keys.wrapping import as_record, from_record

FORMAT = "ptolemy-encrypted-manifest/1"
KEYS_FORMAT = "ptolemy-data-keys/1"
_MAX_LINE = 1 << 20
_ENDLESS = 1 << 50
"""Size of a file whose end isn't known yet: none of its segments is the last."""


def keys_json(wrapped: Sequence[WrappedKey]) -> bytes:
    """A project's wrapped data keys as a file, for extraction without a catalog."""
    value = {"format": KEYS_FORMAT, "keys": [as_record(one) for one in wrapped]}
    return json.dumps(value, indent=2).encode() + b"\n"


def wrapped_keys_in(path: str) -> list[WrappedKey]:
    """The wrapped data keys in an encrypted manifest, or in a file that `keys_json` made.

    Raises:
        DamagedError: the file is neither.
        OSError: it can't be read.
    """
    with open(path, "rb") as file:
        line = file.readline(_MAX_LINE)
        value = _parsed(line) or _parsed(line + file.read(_MAX_LINE))
    if value is None:
        raise DamagedError(
            f"{path} has no data keys: give an encrypted manifest, or PROJECT.keys.json beside it"
        )
    return _keys_of(value, path)


@contextmanager
def sealed(
    file: IO[bytes], form: str, wrapped: Sequence[WrappedKey], provider: KeyProvider
) -> Iterator[IO[bytes]]:
    """A file whose bytes are encrypted into another.

    Args:
        file: receives the encrypted manifest.
        form: of the manifest: parquet, csv or jsonl.
        wrapped: the project's data keys.
        provider: has the keys that wrapped them.

    Raises:
        EncryptionError: the key isn't there.
    """
    value = {"format": FORMAT, "form": form, "keys": [as_record(one) for one in wrapped]}
    line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
    file.write(line)
    out = _Sealing(file, _data_key(wrapped, provider, file.name), _path(line))
    yield out  # type: ignore[misc]
    out.finish()


def unseal(path: str, provider: KeyProvider) -> Iterator[bytes]:
    """The bytes of the manifest in an encrypted one, in parts; all of it is authentic before a byte is returned.

    Raises: as `unsealed`.
    """
    with unsealed(path, provider) as file:
        while part := file.read(8 * SEGMENT):
            yield part


@contextmanager
def unsealed(path: str, provider: KeyProvider) -> Iterator[BinaryIO]:
    """The manifest in an encrypted one, open for reading from any place; nothing of it is written anywhere.

    Raises:
        DamagedError: it isn't an encrypted manifest, was changed or is cut off.
        EncryptionError: the key isn't there.
        OSError: it can't be read.
    """
    try:
        with open(path, "rb") as file:
            yield io.BufferedReader(_open(file, path, provider), SEGMENT)
    except DamagedError as error:
        if path in str(error):
            raise
        raise DamagedError(f"the manifest {path} is damaged: {error}") from None


def _open(file: IO[bytes], path: str, provider: KeyProvider) -> "_Unsealed":
    """The manifest in an open encrypted one; all of it is checked."""
    line = file.readline(_MAX_LINE)
    value = _parsed(line)
    if value is None or value["format"] != FORMAT:
        raise DamagedError(f"{path} isn't an encrypted manifest: its first line says nothing of one")
    begin = len(line)
    size = file.seek(0, 2) - begin
    key = _data_key(_keys_of(value, path), provider, path)
    view = encryption.Decrypted.open(_Part(file, begin), size, key, _path(line), name=path)
    view.check()  # all of it, before a byte is returned
    return _Unsealed(view)


def _parsed(text: bytes) -> Any:
    """The JSON value of a text, if it has data keys."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    known = isinstance(value, dict) and value.get("format") in (FORMAT, KEYS_FORMAT)
    return value if known and isinstance(value.get("keys"), list) else None


def _keys_of(value: Any, path: str) -> list[WrappedKey]:
    return [from_record(record, path) for record in value["keys"]]


def _data_key(wrapped: Sequence[WrappedKey], provider: KeyProvider, path: str) -> Secret:
    for one in wrapped:
        if one.use == "files":
            return unwrap(provider, one)
    raise DamagedError(f"{path} has no data key for files: use another copy of it")


def _path(line: bytes) -> bytes:
    """The path's part of the associated data."""
    return b"\0manifest\0" + hashlib.sha256(line).hexdigest().encode()


class _Part:
    """Reads a file from an offset on."""

    def __init__(self, file: IO[bytes], begin: int) -> None:
        self._file = file
        self._begin = begin

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        self._file.seek(self._begin + offset)
        done = 0
        for buffer in buffers:
            got = self._file.readinto(buffer)  # type: ignore[attr-defined]
            done += got
            if got < len(buffer):
                break
        return done


class _Unsealed(io.RawIOBase):
    """An encrypted manifest as the file that was encrypted."""

    def __init__(self, view: "encryption.Decrypted") -> None:
        super().__init__()
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; returns it."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._view.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns the number of bytes."""
        target = memoryview(buffer).cast("B")[: max(0, self._view.size - self._at)]
        if len(target):
            self._view.read_into(self._at, target)
        self._at += len(target)
        return len(target)


class _Sealing:
    """A file that is written once, from its beginning to its end: what Parquet, CSV and JSON need."""

    closed = False

    def __init__(self, file: IO[bytes], key: Secret, path: bytes) -> None:
        self._file = file
        self._header = Header.random()
        self._key, self._path = key, path
        self._cipher = encryption.FileCipher(key, self._header, path, _ENDLESS)
        self._pending = bytearray()
        self._number = 0
        self._size = 0

    def write(self, data: Any) -> int:
        """Take bytes."""
        part = memoryview(data).cast("B")
        self._pending += part
        self._size += len(part)
        while len(self._pending) > self._room:  # a full segment may be the last one
            self._seal(self._cipher, self._room)
        return len(part)

    def tell(self) -> int:
        """Bytes taken."""
        return self._size

    def flush(self) -> None:
        """Nothing: a segment is written when it is full."""

    def seekable(self) -> bool:
        """It isn't."""
        return False

    def readable(self) -> bool:
        """It isn't."""
        return False

    def writable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Nothing: `finish` writes the last segment."""

    def finish(self) -> None:
        """Write the last segment."""
        self._seal(encryption.FileCipher(self._key, self._header, self._path, self._size), len(self._pending))

    @property
    def _room(self) -> int:
        """Bytes of the segment that is next."""
        return SEGMENT - TAG - (0 if self._number else HEADER)

    def _seal(self, cipher: "encryption.FileCipher", size: int) -> None:
        out = bytearray(size + TAG + (0 if self._number else HEADER))
        cipher.encrypt(self._number, bytes(self._pending[:size]), out)
        self._file.write(out)
        del self._pending[:size]
        self._number += 1
