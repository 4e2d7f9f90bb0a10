"""What a container holds, in columns: one item per shard, link or empty folder, in path order.

A path is the entry's names below target_dir joined by NUL, which no name can hold: so the plain order of
these bytes is the order of the tree, and any other name survives as it is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

SEPARATOR = b"\0"
WHOLE = -1
"""The shard number of an item that is no shard of a split file."""


class Kind(IntEnum):
    """What an entry of a scan is."""

    FILE = 0
    DIRECTORY = 1
    """An empty folder: others are known from the paths below them."""
    SYMLINK = 2


@dataclass(frozen=True, slots=True)
class Items:
    """Columns over the items of one container.

    Attributes:
        paths: NUL-joined names below target_dir; one empty path alone means that target itself is the item.
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
        """The items at these places, in this order."""
        return Items(
            [self.paths[k] for k in rows],
            self.kinds[rows],
            self.sizes[rows],
            self.starts[rows],
            self.shards[rows],
        )

    @property
    def data_bytes(self) -> int:
        """Bytes of file data in all items (links' targets don't count)."""
        return int(self.sizes[self.kinds == Kind.FILE].sum())


class ItemsBuilder:
    """Collects items row by row."""

    def __init__(self) -> None:
        self._paths: list[bytes] = []
        self._rows: list[tuple[int, int, int, int]] = []

    def add(self, path: bytes, kind: Kind, size: int, start: int = 0, shard: int = WHOLE) -> None:
        """Add one item; items must come in path order, shards of a file by their number."""
        self._paths.append(path)
        self._rows.append((kind, size, start, shard))

    def extend(self, rows: Iterable[tuple[bytes, Kind, int]]) -> "ItemsBuilder":
        """Add whole items: (path, kind, size)."""
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


def common_folders(ours: Sequence[bytes], theirs: Sequence[bytes]) -> int:
    """How many folders two paths, given as lists of names, share from the top."""
    common = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            break
        common += 1
    return common
