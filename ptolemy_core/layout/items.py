"""The content of a container, in columns: one item per shard, link or empty folder, in path order.

A path is the entry's names below target_dir joined by NUL. No name contains NUL, so sorting paths as bytes gives the
order of the tree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.tree import Kind

WHOLE = -1
"""The shard number of an item that isn't a shard of a split file."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of one container, as columns.

    Attributes:
        paths: NUL-joined names below target_dir; a single empty path means that the target itself is the item.
        kinds: `Kind` of each.
        sizes: bytes of data: the shard's length, a link's target length, 0 for an empty folder.
        starts: offset of the shard within its file, bytes.
        shards: the shard's number within its file, or WHOLE.
    """

    paths: Sequence[bytes]
    kinds: NDArray[np.int8]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]
    shards: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, part: slice) -> "Items":
        return Items(
            self.paths[part], self.kinds[part], self.sizes[part], self.starts[part], self.shards[part]
        )

    def take(self, rows: Sequence[int]) -> "Items":
        """The items with these indexes, in this order."""
        return Items(
            [self.paths[k] for k in rows],
            self.kinds[rows],
            self.sizes[rows],
            self.starts[rows],
            self.shards[rows],
        )

    @property
    def data_bytes(self) -> int:
        """Bytes of file data in all items (without link targets)."""
        return int(self.sizes[self.kinds == Kind.FILE].sum())


class ItemsBuilder:
    """Collects items row by row."""

    def __init__(self) -> None:
        self._paths: list[bytes] = []
        self._rows: list[tuple[int, int, int, int]] = []

    def add(self, path: bytes, kind: Kind, size: int, start: int = 0, shard: int = WHOLE) -> None:
        """Add an item; items must be added in path order, shards of a file by number."""
        self._paths.append(path)
        self._rows.append((kind, size, start, shard))

    def extend(self, rows: Iterable[tuple[bytes, Kind, int]]) -> "ItemsBuilder":
        """Add items that aren't shards: (path, kind, size)."""
        for path, kind, size in rows:
            self.add(path, kind, size)
        return self

    def build(self) -> Items:
        """The items so far."""
        table = np.array(self._rows, dtype=np.int64).reshape(-1, 4)
        return Items(
            self._paths,
            table[:, 0].astype(np.int8),
            table[:, 1].copy(),
            table[:, 2].copy(),
            table[:, 3].astype(np.int32),
        )
