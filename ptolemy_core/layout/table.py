"""The layout of a CAR: every block's offset, size and parent, in depth-first pre-order from the root.

Order of blocks: `version=1; order=dfs; dups=y` of the trustless gateway specification; container: CARv1.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, cid, hamt, varint
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout.items import Items
from ptolemy_core.layout.tree import NO_ITEM, Tree, block_order, build_tree, measure_tree
from ptolemy_core.tree import Kind

HEADER_SIZE = 59
"""Bytes of a CARv1 header with one 36-byte root."""


class Block(IntEnum):
    """What a block holds."""

    LEAF = 0
    """Raw bytes of a file."""
    FILE = 1
    DIRECTORY = 2
    HAMT = 3
    SYMLINK = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """All blocks of a CAR in order, as columns. Offsets and sizes are bytes.

    Attributes:
        kind: `Block` of each.
        offset: of its section in the CAR.
        size: of the block itself.
        tsize: of all blocks of its subtree.
        parent: index of the block that links to it; -1 for the root, block 0.
        count: blocks of its subtree, itself included: the subtree is `[k, k + count[k])`.
        item: index of the item that it belongs to, or -1.
        start: offset within its item of the file data in its subtree (leaves and file nodes).
        length: bytes of file data in its subtree (leaves and file nodes).
        name: index in `names` of the link to it; -1 for links inside a file, which have empty names.
        roots: the root block of each item.
        names: names of links.
        car_size: bytes of the whole CAR.
    """

    kind: NDArray[np.int8]
    offset: NDArray[np.int64]
    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    parent: NDArray[np.int64]
    count: NDArray[np.int64]
    item: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    name: NDArray[np.int64]
    roots: NDArray[np.int64]
    names: list[bytes]
    car_size: int

    def __len__(self) -> int:
        return len(self.kind)

    def data_offset(self, block: int) -> int:
        """Offset in the CAR of the block's own bytes."""
        return int(self.offset[block]) + varint.length(cid.SIZE + int(self.size[block])) + cid.SIZE


def compute_layout(items: Items, profile: Profile = UNIXFS_V1_2025, *, real_names: bool = False) -> Layout:
    """The layout of the CAR of these items; see `build_tree` for `real_names`.

    Raises:
        ValueError: the items aren't in path order, or two names in a folder have the same HAMT hash.
    """
    tree = measure_tree(build_tree(items, real_names=real_names), items, profile)
    nodes = _Nodes.of(tree)
    blocks = np.where(nodes.expands, tree.count[nodes.row], 1)
    base = np.cumsum(blocks) - blocks
    total = int(blocks.sum())

    layout = Layout(
        kind=np.repeat(nodes.kind, blocks),
        offset=np.zeros(total, dtype=np.int64),
        size=np.repeat(nodes.size, blocks),
        tsize=np.repeat(nodes.tsize, blocks),
        parent=np.repeat(np.where(nodes.parent < 0, -1, base[nodes.parent]), blocks),
        count=np.repeat(nodes.count, blocks),
        item=np.repeat(nodes.item, blocks),
        start=np.zeros(total, dtype=np.int64),
        length=np.zeros(total, dtype=np.int64),
        name=np.repeat(np.arange(len(nodes.row), dtype=np.int64), blocks),
        roots=np.zeros(len(items), dtype=np.int64),
        names=nodes.names,
        car_size=HEADER_SIZE + int(tree.span[0]),
    )
    real = nodes.item != NO_ITEM
    layout.roots[nodes.item[real]] = base[real]
    leaf = layout.kind == Block.LEAF
    layout.length[leaf] = layout.size[leaf]
    for node in np.flatnonzero(nodes.expands).tolist():
        _expand(layout, int(base[node]), balanced.shape(int(items.sizes[nodes.item[node]]), profile))
    sections = balanced.section_sizes(layout.size)
    layout.offset[:] = HEADER_SIZE + np.cumsum(sections) - sections
    if int(layout.offset[-1] + sections[-1]) != layout.car_size:
        raise AssertionError("layout: sizes from the tree and from the blocks differ")
    return layout


def _expand(layout: Layout, base: int, shape: balanced.Shape) -> None:
    """Fill in the blocks of a file of more than one leaf."""
    part = slice(base, base + len(shape.size))
    outer = layout.parent[base]
    layout.kind[part] = np.where(shape.height == 0, Block.LEAF, Block.FILE)
    layout.size[part] = shape.size
    layout.tsize[part] = shape.tsize
    layout.start[part] = shape.start
    layout.length[part] = shape.length
    layout.count[part] = shape.count
    layout.parent[part] = shape.parent + base
    layout.parent[base] = outer
    layout.name[base + 1 : part.stop] = -1


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Rows of the tree and HAMT nodes in block order; a file of many leaves is a single node here."""

    row: NDArray[np.int64]
    kind: NDArray[np.int8]
    parent: NDArray[np.int64]
    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    count: NDArray[np.int64]
    item: NDArray[np.int64]
    expands: NDArray[np.bool_]
    names: list[bytes]

    @classmethod
    def of(cls, tree: Tree) -> "_Nodes":
        kinds = np.array([Block.LEAF, Block.DIRECTORY, Block.SYMLINK], dtype=np.int8)  # by Kind
        if not tree.hamts and not tree.unsorted:
            expands = (tree.kind == Kind.FILE) & (tree.count > 1)
            rows = np.arange(len(tree), dtype=np.int64)
            return cls(
                rows,
                kinds[tree.kind],
                tree.parent,
                tree.size,
                tree.tsize,
                tree.count,
                tree.item,
                expands,
                tree.names,
            )
        order = block_order(tree)
        rows = np.array([row for row, _, _, _ in order], dtype=np.int64)
        inner = rows < 0
        kind = kinds[tree.kind[rows]]
        item = np.where(inner, NO_ITEM, tree.item[rows])
        expands = ~inner & (tree.kind[rows] == Kind.FILE) & (tree.count[rows] > 1)
        size, tsize, count = tree.size[rows], tree.tsize[rows], tree.count[rows]
        for place, (_, _, _, node) in enumerate(order):
            if isinstance(node, hamt.HamtNode):
                kind[place] = Block.HAMT
                size[place], tsize[place], count[place] = node.size, node.tsize, node.count
        parent = np.array([above for _, above, _, _ in order], dtype=np.int64)
        names = [name for _, _, name, _ in order]
        return cls(rows, kind, parent, size, tsize, count, item, expands, names)
