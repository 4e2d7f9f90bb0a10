"""Stamps: what tells that an entry is still the one that was scanned, and the one rule that compares them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RANGE = 1 << 63


@dataclass(frozen=True, slots=True)
class Stamp:
    """The stamp of one entry.

    Attributes:
        size: bytes.
        token: what the source gives for "this very version": any number of 64 bits, only ever compared. On a file
            system it is the modification time in nanoseconds since 1970.
        strong: whether the source says that equal tokens mean equal bytes. A version is such a token, a
            modification time isn't: it can be set to any value.
    """

    size: int
    token: int
    strong: bool = False

    def difference(self, found: "Stamp") -> str | None:
        """How an entry that has the stamp `found` now has changed; None if it hasn't."""
        if found.size != self.size:
            return f"its size was {self.size} bytes, now {found.size}"
        if found.token != self.token:
            return "it is another version" if self.strong else "its modification time is another"
        return None


@dataclass(frozen=True, slots=True)
class Stamps:
    """The stamps of many entries, in columns."""

    sizes: NDArray[np.int64]
    tokens: NDArray[np.int64]
    strong: bool = False

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, row: int) -> Stamp:
        return Stamp(int(self.sizes[row]), int(self.tokens[row]), self.strong)

    def take(self, rows: NDArray[np.int64] | slice | list[int]) -> "Stamps":
        """The stamps of these entries, in this order."""
        return Stamps(self.sizes[rows], self.tokens[rows], self.strong)

    def same(self, found: "Stamps") -> NDArray[np.bool_]:
        """Which entries have no `Stamp.difference` from the stamps found now."""
        same: NDArray[np.bool_] = (self.sizes == found.sizes) & (self.tokens == found.tokens)
        return same


def wrapped(number: int) -> int:
    """A number modulo 2^64, as a signed one: for what is only compared, such as an inode's number."""
    return (number + _RANGE) % (2 * _RANGE) - _RANGE
