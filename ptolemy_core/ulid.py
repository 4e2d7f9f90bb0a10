"""ULIDs, the names of deals: 48 bits of time in milliseconds and 80 random bits, as 26 characters.

They sort by the time that they were made. Specification: https://github.com/ulid/spec
"""

import re
import secrets
import time
from datetime import UTC, datetime
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_TEXT: Final = re.compile(f"[0-7][{_ALPHABET}]{{25}}\\Z")
_RANDOM_BITS: Final = 80


def new_ulid(milliseconds: int | None = None) -> str:
    """A new ULID, of now or of a time in milliseconds since 1970."""
    now = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    if not 0 <= now < 1 << 48:
        raise ValueError(f"a ULID's time has 48 bits, got {now}")
    number = now << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def is_ulid(text: str) -> bool:
    """Whether a text is a ULID in its canonical form: upper case, at most 128 bits."""
    return bool(_TEXT.match(text))


def ulid_time(text: str) -> datetime:
    """When a ULID was made.

    Raises:
        ValueError: it isn't one.
    """
    if not is_ulid(text):
        raise ValueError(
            f"not a ULID: {text[:40]!r}; one has 26 digits and letters like 01ARZ3NDEKTSV4RRFFQ69G5FAV"
        )
    number = 0
    for character in text[:10]:
        number = number << 5 | _ALPHABET.index(character)
    return datetime.fromtimestamp(number / 1000, UTC)
