"""Encrypting and decrypting segments of a file: Tink's streaming AEAD AES256_GCM_HKDF_1MB, byte for byte.

- Header, 40 bytes: 0x28, salt (32 bytes), nonce prefix (7 bytes).
- Each file's own key, 32 bytes: HKDF-SHA256 (RFC 5869) of the data key, with the salt; info: the associated data.
- Segment i: AES-256-GCM. Nonce: the prefix, i (4 bytes, big-endian), and 1 for the last segment or 0 for others. No
  associated data, since the file's is already part of its key.

So a segment that was moved, or belongs to another file or path, or comes after the end is refused. Salt and prefix
are random per version of a file, and stored: encrypting different bytes with the same ones would reveal both.

Format: https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
"""

from collections.abc import Callable
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ptolemy_core.encryption.headers import Header
from ptolemy_core.encryption.segments import HEADER, SEGMENT, Segments
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys.secret import Secret
from ptolemy_core.tree import paths

Bytes: TypeAlias = bytes | bytearray | memoryview

_KEY = 32
_LABEL = b"ptolemy/1:"


def associated_data(path: bytes) -> bytes:
    """The data that binds a file to its path: `ptolemy/1:`, and its path in the CAR with `/` between names.

    Args:
        path: NUL-joined names as in the CAR (encrypted, if names are), without the suffixes of `layout.names`: all
            shards of a file have the path of the whole file.
    """
    return _LABEL + paths.to_slashes(path)


class FileCipher:
    """Encrypts and decrypts the segments of one version of a file, in any order. Thread-safe."""

    def __init__(
        self,
        data_key: Secret,
        header: Header,
        path: bytes,
        plain: int,
        *,
        segment: int = SEGMENT,
        name: Callable[[], str] | None = None,
    ) -> None:
        """Derive the file's key.

        Args:
            data_key: the project's data key for files, 32 bytes.
            header: of this version of the file.
            path: of the whole file in the CAR, as for `associated_data`.
            plain: size of the plaintext in bytes.
            segment: bytes of a segment; tests shrink it.
            name: gives the file's name for messages; by default its path in the CAR.
        """
        if len(data_key) != _KEY:
            raise ValueError(f"a data key for files has {_KEY} bytes, got {len(data_key)}")
        self.segments = Segments(plain, segment)
        self.header = header
        self._path = path
        self._name = name
        derive = HKDF(hashes.SHA256(), _KEY, header.salt, associated_data(path)).derive
        self._gcm = AESGCM(derive(data_key.reveal()))

    @property
    def name(self) -> str:
        """The file's name, for messages."""
        return self._name() if self._name else paths.display(self._path)

    def encrypt(self, index: int, plain: Bytes, out: Bytes) -> None:
        """Encrypt a segment.

        Args:
            index: its number.
            plain: its whole plaintext. It may be exactly where its ciphertext goes in `out` (after the header, in
                segment 0), but may not overlap with `out` otherwise.
            out: receives the whole segment, including the header in segment 0.
        """
        with memoryview(out) as view:
            if index:
                self._gcm.encrypt_into(self._nonce(index), plain, None, view)
            else:
                with view[HEADER:] as after_header:
                    self._gcm.encrypt_into(self._nonce(0), plain, None, after_header)
                view[:HEADER] = bytes(self.header)

    def decrypt(self, index: int, encrypted: Bytes, out: Bytes) -> None:
        """Decrypt a segment, and check that it is the one written at this position of this file.

        Args:
            index: its number.
            encrypted: the whole segment, including the header in segment 0; must not overlap with `out`.
            out: receives its whole plaintext; zeros if the segment is refused.

        Raises:
            DamagedError: the segment is another one or was changed, or the key is wrong.
        """
        with memoryview(encrypted) as view, memoryview(out) as target:
            expected = self.segments.encrypted_range(index)[1]
            whole = len(view) == expected and (index > 0 or view[:HEADER] == bytes(self.header))
            try:
                if not whole:
                    raise InvalidTag
                with view[0 if index else HEADER :] as sealed:
                    self._gcm.decrypt_into(self._nonce(index), sealed, None, target)
            except InvalidTag:
                target[:] = bytes(len(target))  # what AES-GCM has written is unchecked plaintext
                raise DamagedError(self._refusal(index)) from None

    def _nonce(self, index: int) -> bytes:
        if not 0 <= index < self.segments.count:
            raise IndexError(f"{self.name} has {self.segments.count} segments, there is no segment {index}")
        return self.header.prefix + index.to_bytes(4, "big") + bytes((index == self.segments.count - 1,))

    def _refusal(self, index: int) -> str:
        return (
            f"segment {index} of {self.segments.count} of encrypted file {self.name} is refused: it is damaged, cut "
            "off, or from another file, position or key; fetch it again, and check that the key is this project's"
        )
