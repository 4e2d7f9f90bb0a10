"""Which bytes of which CARs hold a file, or the part of it that a range needs. Nothing is read: sizes tell it all."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car import nodes
from ptolemy_core.catalog.served import HeldItem, HeldSplit
from ptolemy_core.dag import balanced
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.gateway.answer import Part, Span
from ptolemy_core.layout import item_extents

Range = tuple[int, int]
"""First byte and end of a part of a file."""


def item_span(item: HeldItem, profile: Profile) -> Span:
    """All blocks of an item."""
    extents = item_extents(
        np.array([item.kind], dtype=np.int8), np.array([item.size], dtype=np.int64), profile
    )
    return Span(item.car, item.offset, int(extents.span[0]))


def file_parts(item: HeldItem, wanted: Range | None, profile: Profile) -> Iterator[Part]:
    """The blocks of a file or shard that a range of it needs; None: the whole file. The root's comes always."""
    if wanted is None:
        yield item_span(item, profile)
        return
    shape = balanced.shape(item.size, profile)
    yield from _subtree(item, shape, 0, wanted)


def root_span(item: HeldItem, profile: Profile) -> Span:
    """The root block of an item."""
    extents = item_extents(
        np.array([item.kind], dtype=np.int8), np.array([item.size], dtype=np.int64), profile
    )
    return Span(item.car, item.offset, balanced.section_size(int(extents.size[0])))


def split_parts(split: HeldSplit, wanted: Range | None, profile: Profile) -> Iterator[Part]:
    """The blocks of a split file that a range of it needs, in depth-first order; None: the whole file."""
    low, high = wanted or (0, split.size)
    starts = np.cumsum([0, *(one.size for one in split.shards)])
    todo: list[tuple[FileNode, int]] = [(split.root, 0)]
    while todo:
        node, start = todo.pop()
        if node is not split.root and not (start < high and start + node.length > low):
            continue
        if not node.block:
            yield from _lowest(split, node, start, starts, (low, high), profile)
            continue
        yield nodes.section(node.cid, node.block)
        at, below = start, []
        for child in node.children:
            below.append((child, at))
            at += child.length
        todo.extend(reversed(below))


def _lowest(
    split: HeldSplit,
    node: FileNode,
    start: int,
    starts: NDArray[np.int64],
    wanted: Range,
    profile: Profile,
) -> Iterator[Part]:
    """The blocks of a node right above the leaves, or of a bare leaf, which is in a shard's CAR."""
    number = int(np.searchsorted(starts, start, side="right")) - 1
    shard = split.shards[number]
    inside = start - int(starts[number])
    shape = balanced.shape(shard.size, profile)
    lowest = np.flatnonzero((shape.start == inside) & (shape.length == node.length))
    row = int(lowest[-1] if shape.height[lowest[-1]] or len(lowest) == 1 else lowest[-2])
    low, high = wanted
    yield from _subtree(shard, shape, row, (low - int(starts[number]), high - int(starts[number])))


def _subtree(item: HeldItem, shape: balanced.Shape, row: int, wanted: Range) -> Iterator[Span]:
    """Of the block `row` of a file and those below it, the ones that a range needs, and the first; in runs."""
    low, high = wanted
    sections = balanced.section_sizes(shape.size)
    offsets = item.offset + np.concatenate([[0], np.cumsum(sections)])
    rows = slice(row, row + int(shape.count[row]))
    needed = (shape.start[rows] < high) & (shape.start[rows] + shape.length[rows] > low)
    needed[0] = True
    chosen = row + np.flatnonzero(needed)
    for run in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1):
        first, end = int(offsets[run[0]]), int(offsets[run[-1] + 1])
        yield Span(item.car, first, end - first)
