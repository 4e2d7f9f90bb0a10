"""Sizes and offsets in an encrypted file: Tink's streaming AEAD AES256_GCM_HKDF_1MB.

The file is a header and segments, each a part of the plaintext and its tag. The first segment includes the header, so
that each segment except the last is 1 MiB: exactly one leaf of the profile. A file has at least one segment, which
may be empty.

Format: https://developers.google.com/tink/streaming-aead/aes_gcm_hkdf_streaming
"""

from dataclasses import dataclass

from ptolemy_core.errors import DamagedError

SEGMENT = 1 << 20
"""Bytes of a segment with its tag, and in the first one the header."""

HEADER = 40
TAG = 16
MAX_SEGMENTS = 1 << 32
"""Limit of the format: segment numbers have 32 bits."""


@dataclass(frozen=True, slots=True)
class Segments:
    """Sizes and offsets in the encrypted form of a file of `plain` bytes. All in bytes; segments count from 0.

    Attributes:
        plain: size of the plaintext.
        segment: bytes of a segment; tests shrink it.
    """

    plain: int
    segment: int = SEGMENT

    def __post_init__(self) -> None:
        if self.segment <= HEADER + TAG:
            raise ValueError(f"a segment must have more than {HEADER + TAG} bytes, got {self.segment}")
        if self.plain < 0 or self.count > MAX_SEGMENTS:
            most = MAX_SEGMENTS * (self.segment - TAG) - HEADER
            raise ValueError(f"a file can be encrypted if it has 0 to {most} bytes, got {self.plain}")

    @property
    def first(self) -> int:
        """Bytes of plaintext in segment 0, at most."""
        return self.segment - HEADER - TAG

    @property
    def rest(self) -> int:
        """Bytes of plaintext in each other segment, at most."""
        return self.segment - TAG

    @property
    def count(self) -> int:
        """Number of segments."""
        return 1 + max(0, -(-(self.plain - self.first) // self.rest))

    @property
    def size(self) -> int:
        """Size of the encrypted file."""
        return HEADER + self.plain + TAG * self.count

    def plain_range(self, index: int) -> tuple[int, int]:
        """Offset and length of a segment's plaintext."""
        start = self.first + (index - 1) * self.rest if index else 0
        return start, min(self.plain, self.first + index * self.rest) - start

    def encrypted_range(self, index: int) -> tuple[int, int]:
        """Offset and length of a segment in the encrypted file; segment 0 includes the header."""
        start = index * self.segment
        return start, min(self.size, start + self.segment) - start

    def holding_plain(self, offset: int, length: int) -> range:
        """The segments that contain a range of the plaintext; none for an empty range."""
        end = min(offset + length, self.plain)
        if offset >= end:
            return range(0)
        return range(self._of_plain(offset), self._of_plain(end - 1) + 1)

    def holding_encrypted(self, offset: int, length: int) -> range:
        """The segments that contain a range of the encrypted file; none for an empty range."""
        end = min(offset + length, self.size)
        if offset >= end:
            return range(0)
        return range(offset // self.segment, (end - 1) // self.segment + 1)

    def _of_plain(self, offset: int) -> int:
        return 0 if offset < self.first else 1 + (offset - self.first) // self.rest


def encrypted_size(plain: int) -> int:
    """Bytes of the encrypted form of a file of `plain` bytes."""
    return Segments(plain).size


def plain_size(encrypted: int, segment: int = SEGMENT) -> int:
    """Bytes of the file whose encrypted form has `encrypted` bytes.

    Raises:
        DamagedError: an encrypted file can't have that size.
    """
    count = max(1, -(-encrypted // segment))
    plain = encrypted - HEADER - TAG * count
    if plain < 0 or count > MAX_SEGMENTS or Segments(plain, segment).size != encrypted:
        raise DamagedError(
            f"{encrypted} bytes are not a complete encrypted file: it was cut off, or isn't encrypted by Ptolemy; "
            "fetch it again"
        )
    return plain
