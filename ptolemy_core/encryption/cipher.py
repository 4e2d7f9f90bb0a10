"""Encrypting and decrypting segments of a file: Tink's streaming AEAD AES256_GCM_HKDF_1MB, byte for byte.

- Header, 40 bytes: 0x28, salt (32 bytes), nonce prefix (7 bytes).
- The own key of a file, 32 bytes: HKDF-SHA256 (RFC 5869) of the data key, with the salt; info: the associated data.
- Segment i: AES-256-GCM with the nonce prefix, then i (4 bytes, big-endian), then 1 for the last segment and 0 for
  others. No associated data of its own, as the file's is in its key.

So a segment in another place, in another file, after the end or under another path is refused. Salt and prefix are
random, once for each version of a file, and kept: to encrypt other bytes under the same ones would give both away.

Format: https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
"""

import secrets
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ptolemy_core.encryption.segments import HEADER, SEGMENT, Segments
from ptolemy_core.errors import DamagedError
from ptolemy_core.keys.secret import Secret
from ptolemy_core.tree import paths

SALT, PREFIX = 32, 7
"""Bytes of what is random in a header."""

Bytes: TypeAlias = bytes | bytearray | memoryview

_KEY = 32
_LABEL = b"ptolemy/1:"


@dataclass(frozen=True, slots=True)
class Header:
    """What is random in an encrypted file, and public: made once for each version of a file, and kept.

    Attributes:
        salt: 32 bytes.
        prefix: 7 bytes, which each nonce starts with.
    """

    salt: bytes
    prefix: bytes

    def __post_init__(self) -> None:
        if len(self.salt) != SALT or len(self.prefix) != PREFIX:
            raise ValueError(
                f"a header has {SALT} and {PREFIX} random bytes, got {len(self.salt)} and {len(self.prefix)}"
            )

    @classmethod
    def random(cls) -> "Header":
        """A header for a new version of a file."""
        return cls(secrets.token_bytes(SALT), secrets.token_bytes(PREFIX))

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Header":
        """The header that an encrypted file starts with.

        Args:
            data: the file's first 40 bytes.
            name: of the file, for messages.

        Raises:
            DamagedError: it is none.
        """
        if len(data) != HEADER or data[0] != HEADER:
            raise DamagedError(
                f"{name} doesn't start with the header of an encrypted file: it is damaged, or isn't encrypted by "
                "Ptolemy; fetch it again"
            )
        return cls(data[1 : 1 + SALT], data[1 + SALT :])

    def __bytes__(self) -> bytes:
        return bytes((HEADER,)) + self.salt + self.prefix


def associated_data(path: bytes) -> bytes:
    """What ties an encrypted file to its place: `ptolemy/1:`, and its path in the CAR with `/` between names.

    Args:
        path: NUL-joined names as the CAR has them (encrypted, where names are), without the marks of shards and of
            names that look like one (`layout.names`): all shards of a file have the path of the whole file.
    """
    return _LABEL + path.replace(paths.SEPARATOR, b"/")


class FileCipher:
    """Encrypts and decrypts the segments of one version of a file, in any order and from any number of threads."""

    def __init__(
        self, data_key: Secret, header: Header, path: bytes, plain: int, *, segment: int = SEGMENT
    ) -> None:
        """Derive the file's key.

        Args:
            data_key: the project's data key for files, 32 bytes.
            header: of this version of the file.
            path: of the whole file in the CAR, as `associated_data` takes it.
            plain: size of the plaintext, bytes.
            segment: bytes of a segment; tests shrink it.
        """
        if len(data_key) != _KEY:
            raise ValueError(f"a data key for files has {_KEY} bytes, got {len(data_key)}")
        self.segments = Segments(plain, segment)
        self.header = header
        self.name = paths.display(path)
        derive = HKDF(hashes.SHA256(), _KEY, header.salt, associated_data(path)).derive
        self._gcm = AESGCM(derive(data_key.reveal()))

    def encrypt(self, index: int, plain: Bytes, out: Bytes) -> None:
        """Encrypt a segment.

        Args:
            index: its number.
            plain: its whole plaintext. It may be where its ciphertext goes in `out` (behind the header, in segment
                0), but may not overlap with it otherwise.
            out: takes the whole segment, the header of segment 0 too.
        """
        with memoryview(out) as view:
            if index:
                self._gcm.encrypt_into(self._nonce(index), plain, None, view)
            else:
                with view[HEADER:] as behind:
                    self._gcm.encrypt_into(self._nonce(0), plain, None, behind)
                view[:HEADER] = bytes(self.header)

    def decrypt(self, index: int, encrypted: Bytes, out: Bytes) -> None:
        """Decrypt a segment, and see that it is the one that was written in this place of this file.

        Args:
            index: its number.
            encrypted: the whole segment, the header of segment 0 too; not overlapping with `out`.
            out: takes its whole plaintext. It holds zeros where the segment is refused.

        Raises:
            DamagedError: it is another, or was changed, or the key is another.
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
            "off, or of another file, place or key; fetch it again, and check that the key is this project's"
        )
