"""A page of an outline: some consecutive rows, packed and compressed.

A row is a file or shard with all of its blocks, a link, a folder or a HAMT node. What follows from sizes (places of
blocks, the nodes of large files) isn't kept; digests are kept apart, see `outline_file`.
"""

import itertools
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, cid, varint
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import Block

_COUNT = struct.Struct("<I")
_LEVEL = 6


class Children(NamedTuple):
    """The links of a folder or HAMT node: places of the digests of the blocks that they lead to, their kinds,
    Tsizes and names."""

    places: NDArray[np.int64]
    kinds: NDArray[np.int8]
    tsizes: NDArray[np.int64]
    names: list[bytes]

    def encode(self, node: int) -> bytes:
        """The links as bytes; `node` is the place of the digest of the block that holds them."""
        steps = np.diff(self.places, prepend=node)
        lengths = np.fromiter(map(len, self.names), dtype=np.int32, count=len(self.names))
        columns = (_split(steps), _split(self.tsizes), self.kinds.tobytes(), _split(lengths))
        return b"".join((_COUNT.pack(len(self.names)), *columns, *self.names))

    @classmethod
    def decode(cls, data: bytes, node: int) -> "Children":
        """Back from what `encode` gives."""
        (count,) = _COUNT.unpack_from(data)
        reader = _Columns(data, _COUNT.size)
        steps, tsizes = reader.take(np.int64, count), reader.take(np.int64, count)
        kinds, lengths = reader.take(np.int8, count).astype(np.int8), reader.take(np.int32, count)
        return cls(node + np.cumsum(steps), kinds, tsizes, _cut(data, reader.at, lengths))


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns over the rows of a page.

    Attributes:
        kind: `Block` of each row's first block.
        size: bytes of the file or shard; of the block, where it isn't one.
        start: offset of a shard in its file, bytes.
        whole: bytes of the whole file that a shard is of: its stamp's size.
        token: the file's stamp's token.
        item: the item's place in its container, or -1.
        data: path of a file, target of a link, encoded `Children` of a folder or HAMT node.
    """

    kind: NDArray[np.int8]
    size: NDArray[np.int64]
    start: NDArray[np.int64]
    whole: NDArray[np.int64]
    token: NDArray[np.int64]
    item: NDArray[np.int64]
    data: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.kind)

    def encode(self) -> bytes:
        """The page."""
        lengths = np.fromiter(map(len, self.data), dtype=np.int32, count=len(self.data))
        columns = (
            self.kind.tobytes(),
            *(_split(column) for column in (self.size, self.start, self.whole, self.token)),
            _split(np.diff(self.item, prepend=0)),
            _split(lengths),
        )
        return zlib.compress(b"".join((_COUNT.pack(len(self)), *columns, *self.data)), _LEVEL)

    @classmethod
    def decode(cls, page: bytes) -> "Rows":
        """Back from what `encode` gives."""
        data = zlib.decompress(page)
        (count,) = _COUNT.unpack_from(data)
        reader = _Columns(data, _COUNT.size)
        kind = reader.take(np.int8, count).astype(np.int8)
        size, start, whole, token, steps = (reader.take(np.int64, count) for _ in range(5))
        lengths = reader.take(np.int32, count)
        return cls(
            kind, size, start, whole, token, np.cumsum(steps, dtype=np.int64), _cut(data, reader.at, lengths)
        )


class Start(NamedTuple):
    """Where a page begins: number of its first block and its CAR offset, and how many leaves come before it.

    `nodes` is how many blocks of the whole CAR are no leaves.
    """

    block: int
    offset: int
    leaf: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page with the places of its blocks.

    Attributes:
        rows: what it was made from.
        first: number of its first block in the CAR.
        row: row of each block.
        place: of each block's digest in the outline: see `digest_places`.
        kind: `Block` of each.
        offset: of each block's section in the CAR, bytes; one more at the end, the next page's.
        size, tsize, length, count, start: as in `Layout`; 1 and 0 are the counts and starts of what is no large file.
        windows: places of the blocks that begin a window, and the end; see `cut_windows`.
        starts: CAR offsets of the windows, and the end.
    """

    rows: Rows
    first: int
    row: NDArray[np.int64]
    place: NDArray[np.int64]
    kind: NDArray[np.int8]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    length: NDArray[np.int64]
    count: NDArray[np.int64]
    start: NDArray[np.int64]
    windows: list[int]
    starts: list[int]

    @classmethod
    def of(cls, rows: Rows, at: "Start", profile: Profile, window: int) -> "Page":
        """The blocks of these rows, the first of which is at this place."""
        large = np.flatnonzero(rows.kind == Block.FILE)
        shapes = {k: balanced.shape(int(rows.size[k]), profile) for k in large.tolist()}
        blocks = np.ones(len(rows), dtype=np.int64)
        for k, shape in shapes.items():
            blocks[k] = len(shape.size)
        row = np.repeat(np.arange(len(rows), dtype=np.int64), blocks)
        kind, size = rows.kind[row], rows.size[row]
        tsize, length = size.copy(), size.copy()
        count, start = np.ones(len(row), dtype=np.int64), np.zeros(len(row), dtype=np.int64)
        base = np.cumsum(blocks) - blocks
        for k, shape in shapes.items():
            part = slice(int(base[k]), int(base[k] + blocks[k]))
            kind[part] = np.where(shape.height == 0, Block.LEAF, Block.FILE)
            size[part], tsize[part], length[part] = shape.size, shape.tsize, shape.length
            count[part], start[part] = shape.count, shape.start
        places = at.offset + np.concatenate([[0], np.cumsum(balanced.section_sizes(size))])
        place = digest_places(kind, at.block - at.leaf, at.nodes + at.leaf)
        windows = cut_windows(places, window)
        starts: list[int] = places[windows].tolist()
        return cls(
            rows, at.block, row, place, kind, places, size, tsize, length, count, start, windows, starts
        )

    def __len__(self) -> int:
        return len(self.row)

    def children(self, block: int) -> NDArray[np.int64]:
        """Places in the page of the blocks that a large file's node links to."""
        end = block + int(self.count[block])
        if self.kind[block + 1] == Block.LEAF:
            return np.arange(block + 1, end)
        below, at = [], block + 1
        while at < end:
            below.append(at)
            at += int(self.count[at])
        return np.array(below, dtype=np.int64)

    def data_offsets(self, part: slice) -> NDArray[np.int64]:
        """Offsets in the CAR of blocks' own bytes."""
        size = self.size[part] + cid.SIZE
        return self.offset[part] + varint.lengths(size) + cid.SIZE


def digest_places(kinds: NDArray[np.int8], node: int = 0, leaf: int | None = None) -> NDArray[np.int64]:
    """Places of blocks' digests in an outline: those that are no leaves first, so that a folder's are near another.

    Args:
        kinds: `Block` of each of some blocks in a row.
        node, leaf: places of the first of these that is no leaf, and the first leaf; without, the blocks are all.
    """
    is_leaf = kinds == Block.LEAF
    nodes = np.cumsum(~is_leaf)
    return np.where(is_leaf, (nodes[-1] if leaf is None else leaf) + np.cumsum(is_leaf), node + nodes) - 1


def cut_windows(places: NDArray[np.int64], window: int) -> list[int]:
    """Where blocks at these offsets are cut into windows: groups of whole sections of about `window` bytes.

    The last of the offsets is the end of the last block.
    """
    number = (places[:-1] - places[0]) // window
    return [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), len(number)]


def _split(column: NDArray[np.int64] | NDArray[np.int32]) -> bytes:
    """A column with all its lowest bytes first, then all second ones, and so on: this compresses far better."""
    return column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes()


class _Columns:
    """Takes columns from the front of bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self.at = at

    def take(self, kind: type[np.generic], count: int) -> NDArray[np.int64]:
        width = np.dtype(kind).itemsize
        flat = np.frombuffer(self._data, np.uint8, count * width, self.at).reshape(width, count)
        self.at += count * width
        return np.ascontiguousarray(flat.T).view(kind).reshape(count)


def _cut(data: bytes, at: int, lengths: NDArray[np.int64]) -> list[bytes]:
    edges = [at, *(at + np.cumsum(lengths, dtype=np.int64)).tolist()]
    if edges[-1] != len(data):
        raise ValueError(f"{len(data)} bytes where {edges[-1]} were expected")
    return [data[low:high] for low, high in itertools.pairwise(edges)]
