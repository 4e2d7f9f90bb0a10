"""Columns of a layout that most blocks need no number in: a leaf of a small file has nothing to say there."""

from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

Rows = slice | NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A number for each block: that of `base`, but for the blocks `at`, in ascending order, that of `values`."""

    base: NDArray[Any]
    at: NDArray[np.int64]
    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.base)

    @overload
    def __getitem__(self, rows: int) -> int: ...

    @overload
    def __getitem__(self, rows: Rows) -> NDArray[np.int64]: ...

    def __getitem__(self, rows: int | Rows) -> int | NDArray[np.int64]:
        if isinstance(rows, slice):
            low, high, step = rows.indices(len(self))
            if step != 1:
                return self[np.arange(low, high, step)]
            first, last = np.searchsorted(self.at, [low, high])
            out = self.base[low:high].astype(np.int64)
            out[self.at[first:last] - low] = self.values[first:last]
            return out
        if not isinstance(rows, np.ndarray):
            return int(self[np.array([rows])][0])
        out = self.base[rows].astype(np.int64)
        if len(self.at):
            place = np.minimum(np.searchsorted(self.at, rows), len(self.at) - 1)
            other = self.at[place] == rows
            out[other] = self.values[place[other]]
        return out

    def tolist(self) -> list[int]:
        """All of them."""
        found: list[int] = self[:].tolist()
        return found


@dataclass(frozen=True, slots=True, eq=False)
class NodeColumns:
    """The blocks that aren't leaves, in order.

    Attributes:
        at: the block.
        parent, tsize, count, length: see `Layout`.
    """

    at: NDArray[np.int64]
    parent: NDArray[np.int64]
    tsize: NDArray[np.int64]
    count: NDArray[np.int64]
    length: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: "list[NodeColumns]") -> "NodeColumns":
        """All of these, in order."""
        if len(parts) == 1:
            return parts[0]
        at = np.concatenate([part.at for part in parts])
        order = np.argsort(at)
        rest = (
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("parent", "tsize", "count", "length")
        )
        return cls(at[order], *rest)

    def children(self, node: int) -> NDArray[np.int64]:
        """The blocks that a node links to, in order."""
        number = int(np.searchsorted(self.at, node))
        end = node + int(self.count[number])
        last = int(np.searchsorted(self.at, end))
        if last == number + 1:  # leaves alone
            return np.arange(node + 1, end)
        below = number + 1 + np.flatnonzero(self.parent[number + 1 : last] == node)
        # one after the other, but for what is below the nodes among them
        begins = np.concatenate([[node + 1], self.at[below] + self.count[below]])
        lengths = np.concatenate([self.at[below] + 1, [end]]) - begins
        firsts = np.cumsum(lengths) - lengths
        found: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(begins - firsts, lengths)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Where rows are among blocks, of which some rows, files of many leaves, take more than one.

    Attributes:
        bases: the first block of each of those, in order.
        extra: blocks that come with it.
    """

    bases: NDArray[np.int64]
    extra: NDArray[np.int64]

    @classmethod
    def of(cls, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> "Spread":
        """Rows, in order, that take more than one block, and how many each."""
        extra = counts - 1
        return cls(rows + np.cumsum(extra) - extra, extra)

    def blocks(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """The first block of each row."""
        before = np.concatenate([[0], np.cumsum(self.extra)])
        firsts = self.bases - before[:-1]  # as rows
        found: NDArray[np.int64] = rows + before[np.searchsorted(firsts, rows)]
        return found

    def rows(self, blocks: NDArray[Any]) -> NDArray[np.int64]:
        """The row that each block is the first of; -1 for the others."""
        if not len(self.bases):
            return blocks.astype(np.int64)
        before = np.concatenate([[0], np.cumsum(self.extra)])
        number = np.searchsorted(self.bases, blocks)  # those that begin before it
        last = np.maximum(number - 1, 0)
        within = (number > 0) & (blocks <= self.bases[last] + self.extra[last])
        found: NDArray[np.int64] = np.where(within, -1, blocks - before[number])
        return found
