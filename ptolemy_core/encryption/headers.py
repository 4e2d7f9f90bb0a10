"""The headers of encrypted files: salt and nonce prefix, random for each version of a file."""

import secrets
from dataclasses import dataclass

from ptolemy_core.encryption.segments import HEADER
from ptolemy_core.errors import DamagedError

SALT, PREFIX = 32, 7
"""Bytes of the random parts of a header."""


@dataclass(frozen=True, slots=True)
class Header:
    """The random and public part of an encrypted file: generated once per version of a file, and stored.

    Attributes:
        salt: 32 bytes.
        prefix: the first 7 bytes of each nonce.
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
    def of_bytes(cls, stored: bytes) -> "Header":
        """The header of its random bytes, salt before prefix, as `random_bytes` gives them."""
        return cls(stored[:SALT], stored[SALT:])

    @property
    def random_bytes(self) -> bytes:
        """Salt and prefix, 39 bytes, as they are stored."""
        return self.salt + self.prefix

    @classmethod
    def parse(cls, data: bytes, name: str) -> "Header":
        """The header that an encrypted file starts with.

        Args:
            data: the file's first 40 bytes.
            name: of the file, for messages.

        Raises:
            DamagedError: it isn't a header.
        """
        if len(data) != HEADER or data[0] != HEADER:
            raise DamagedError(
                f"{name} doesn't start with the header of an encrypted file: it is damaged, or isn't encrypted by "
                "Ptolemy; fetch it again"
            )
        return cls(data[1 : 1 + SALT], data[1 + SALT :])

    def __bytes__(self) -> bytes:
        return bytes((HEADER,)) + self.salt + self.prefix


def random_headers(count: int) -> list[bytes]:
    """Salts and prefixes for so many new versions of files; see `Header.of_bytes`."""
    size = SALT + PREFIX
    drawn = secrets.token_bytes(size * count)
    return [drawn[at : at + size] for at in range(0, len(drawn), size)]
