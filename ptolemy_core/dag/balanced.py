"""The shape of a file's DAG: fixed chunks as raw leaves, at most `width` links a node, uniform depth.

Specification: IPIP-499, profile unixfs-v1-2025 (balanced layout; a file of one chunk is a bare raw block).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, dagpb, unixfs, varint
from ptolemy_core.dag.profile import Profile

NODE_LINK_NAME = b""


@dataclass(frozen=True, slots=True)
class Shape:
    """The blocks of a file (or of a shard: a file of its own) in depth-first pre-order.

    One array element per block: `size` of the block, `tsize` of its subtree's blocks, `start` and `length` of the
    file data in its subtree (all bytes); `parent` is the parent's index (-1 for the root), `count` the number of
    blocks in its subtree, itself included; `height` is 0 for leaves.
    """

    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    parent: NDArray[np.int64]
    count: NDArray[np.int64]
    height: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Extent:
    """Sizes of a file's DAG: root block `size`, `tsize`, `span` of its CAR sections (bytes), `count` of blocks."""

    size: int
    tsize: int
    span: int
    count: int


@dataclass(frozen=True, slots=True)
class Extents:
    """Columns of `Extent`."""

    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    span: NDArray[np.int64]
    count: NDArray[np.int64]

    def put(self, where: NDArray[np.bool_], values: "Extents") -> None:
        """Set the rows selected by `where`."""
        self.size[where], self.tsize[where] = values.size, values.tsize
        self.span[where], self.count[where] = values.span, values.count


def section_size(block_size: int) -> int:
    """Bytes of a CAR section with a block of this size: length varint, CID, block."""
    return varint.length(cid.SIZE + block_size) + cid.SIZE + block_size


def section_sizes(block_sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """`section_size` of each block."""
    return varint.lengths(block_sizes + cid.SIZE) + cid.SIZE + block_sizes


def leaves_of(size: int, profile: Profile) -> int:
    """How many leaves a file of `size` bytes has; an empty file has one empty leaf."""
    return max(1, -(-size // profile.chunk))


def height_of(leaves: int, profile: Profile) -> int:
    """Levels of nodes above the leaves."""
    height, capacity = 0, 1
    while capacity < leaves:
        capacity *= profile.width
        height += 1
    return height


def extent(size: int, profile: Profile) -> Extent:
    """The sizes of the DAG of a file of `size` bytes, computed without listing its blocks."""
    one = extents(np.array([size], dtype=np.int64), profile)
    return Extent(int(one.size[0]), int(one.tsize[0]), int(one.span[0]), int(one.count[0]))


def extents(sizes: NDArray[np.int64], profile: Profile) -> Extents:
    """`extent` of many files, from their sizes in bytes."""
    out = Extents(*(np.empty(len(sizes), dtype=np.int64) for _ in range(4)))
    left = np.ones(len(sizes), dtype=np.bool_)
    height, capacity = 0, profile.chunk
    while left.any():
        now = left & (sizes <= capacity)
        if now.any():
            out.put(now, _extents(height, sizes[now], profile))
        left &= ~now
        height, capacity = height + 1, capacity * profile.width
    return out


def _extents(height: int, sizes: NDArray[np.int64], profile: Profile) -> Extents:
    """Extents of subtrees of one height: full children, and possibly a last one that isn't."""
    if height == 0:
        return Extents(sizes, sizes, section_sizes(sizes), np.ones(len(sizes), dtype=np.int64))
    per_child = profile.chunk * profile.width ** (height - 1)
    full, rest = np.divmod(sizes, per_child)
    has_rest = rest > 0
    whole = _extents(height - 1, np.array([per_child], dtype=np.int64), profile)
    part = _extents(height - 1, np.where(has_rest, rest, 1), profile)
    message = 3 + varint.lengths(sizes) + full * (1 + varint.length(per_child))
    message += has_rest * (1 + varint.lengths(rest))
    block = full * dagpb.link_sizes(0, whole.tsize) + has_rest * dagpb.link_sizes(0, part.tsize)
    block += 1 + varint.lengths(message) + message
    return Extents(
        block,
        full * whole.tsize + has_rest * part.tsize + block,
        full * whole.span + has_rest * part.span + section_sizes(block),
        full * whole.count + has_rest * part.count + 1,
    )


def shape(size: int, profile: Profile) -> Shape:
    """All blocks of the DAG of a file of `size` bytes."""
    leaves = leaves_of(size, profile)
    return _shape(height_of(leaves, profile), size, profile)


def _shape(height: int, size: int, profile: Profile) -> Shape:
    # only full subtrees repeat: caching others would waste memory
    per_node = profile.chunk * profile.width**height
    return _full_shape(height, profile) if size == per_node else _build_shape(height, size, profile)


@lru_cache(maxsize=8)
def _full_shape(height: int, profile: Profile) -> Shape:
    return _build_shape(height, profile.chunk * profile.width**height, profile)


def _build_shape(height: int, size: int, profile: Profile) -> Shape:
    if height == 0:
        one = np.array([size], dtype=np.int64)
        zero = np.zeros(1, dtype=np.int64)
        return Shape(one, one, zero, one, zero - 1, zero + 1, np.zeros(1, dtype=np.int8))
    per_child = profile.chunk * profile.width ** (height - 1)
    full, rest = divmod(size, per_child)
    if height == 1:
        return _leaf_parent(size, full, rest, per_child)
    children = [_shape(height - 1, per_child, profile)] * full
    if rest:
        children.append(_shape(height - 1, rest, profile))
    links = np.array([child.tsize[0] for child in children], dtype=np.int64)
    lengths = np.array([child.length[0] for child in children], dtype=np.int64)
    counts = np.array([len(child.size) for child in children], dtype=np.int64)
    at = 1 + np.cumsum(counts) - counts
    block = int(dagpb.link_sizes(0, links).sum()) + dagpb.data_size(unixfs.file_message_size(lengths))
    parents = [child.parent + base for child, base in zip(children, at, strict=True)]
    for parent in parents:
        parent[0] = 0
    return Shape(
        np.concatenate([[block], *(child.size for child in children)]),
        np.concatenate([[int(links.sum()) + block], *(child.tsize for child in children)]),
        np.concatenate([[0], *(child.start + per_child * k for k, child in enumerate(children))]),
        np.concatenate([[size], *(child.length for child in children)]),
        np.concatenate([np.array([-1]), *parents]),
        np.concatenate([[int(counts.sum()) + 1], *(child.count for child in children)]),
        np.concatenate([np.array([height], dtype=np.int8), *(child.height for child in children)]),
    )


def _leaf_parent(size: int, full: int, rest: int, chunk: int) -> Shape:
    leaves = np.full(full + (rest > 0), chunk, dtype=np.int64)
    if rest:
        leaves[-1] = rest
    block = int(dagpb.link_sizes(0, leaves).sum()) + dagpb.data_size(unixfs.file_message_size(leaves))
    many = len(leaves)
    heights = np.zeros(many + 1, dtype=np.int8)
    heights[0] = 1
    return Shape(
        np.concatenate([[block], leaves]),
        np.concatenate([[size + block], leaves]),
        np.concatenate([[0], np.arange(many, dtype=np.int64) * chunk]),
        np.concatenate([[size], leaves]),
        np.concatenate([[-1], np.zeros(many, dtype=np.int64)]),
        np.concatenate([[many + 1], np.ones(many, dtype=np.int64)]),
        heights,
    )
