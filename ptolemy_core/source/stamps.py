"""Stamps, which show whether an entry changed since the scan, and the one rule that compares them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_RANGE = 1 << 63


@dataclass(frozen=True, slots=True)
class Stamp:
    """The stamp of one entry.

    Attributes:
        size: bytes.
        token: identifies the version of the content: a 64-bit number that is only compared. On a file system it is
            the modification time in nanoseconds since 1970.
        strong: whether equal tokens guarantee equal bytes. A version ID does; a modification time doesn't, since it
            can be set to any value.
    """

    size: int
    token: int
    strong: bool = False

    def difference(self, found: "Stamp") -> str | None:
        """How an entry whose stamp is now `found` has changed; None if it hasn't."""
        if found.size != self.size:
            return f"its size was {self.size} bytes, now {found.size}"
        if found.token != self.token:
            return "its version changed" if self.strong else "its modification time changed"
        return None


@dataclass(frozen=True, slots=True)
class Stamps:
    """The stamps of many entries, as columns.

    Attributes:
        sizes, tokens, strong: see `Stamp`.
        seen: the state that each file had at some time before, a row each, if the source has states; two zeros where
            it isn't known. A file may have another one and still be unchanged.
    """

    sizes: NDArray[np.int64]
    tokens: NDArray[np.int64]
    strong: bool = False
    seen: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, row: int) -> Stamp:
        return Stamp(int(self.sizes[row]), int(self.tokens[row]), self.strong)

    def take(self, rows: NDArray[np.int64] | slice | list[int]) -> "Stamps":
        """The stamps of these entries, in this order."""
        seen = None if self.seen is None else self.seen[rows]
        return Stamps(self.sizes[rows], self.tokens[rows], self.strong, seen)

    def same(self, found: "Stamps") -> NDArray[np.bool_]:
        """Which entries are unchanged, given the stamps found now; see `Stamp.difference`."""
        same: NDArray[np.bool_] = (self.sizes == found.sizes) & (self.tokens == found.tokens)
        return same


def wrapped(number: int) -> int:
    """A number modulo 2^64, as a signed number: for values that are only compared, such as inode numbers."""
    return (number + _RANGE) % (2 * _RANGE) - _RANGE
