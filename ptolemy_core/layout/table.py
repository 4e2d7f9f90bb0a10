"""The layout of a CAR: every block's offset, size and parent, in depth-first pre-order from the root.

Order of blocks: `version=1; order=dfs; dups=y` of the trustless gateway specification; container: CARv1.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, cid, varint
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout.columns import NodeColumns, Sparse, Spread
from ptolemy_core.layout.items import Items
from ptolemy_core.layout.order import block_order
from ptolemy_core.layout.tree import NO_ITEM, Tree, build_tree, measure_tree
from ptolemy_core.tree.packed import PackedPaths, paths_at

HEADER_SIZE = 59
"""Bytes of a CARv1 header with one 36-byte root."""

_PART = 1 << 16
"""Blocks that are laid out together."""


class Block(IntEnum):
    """What a block holds."""

    LEAF = 0
    """Raw bytes of a file."""
    FILE = 1
    DIRECTORY = 2
    HAMT = 3
    SYMLINK = 4


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """All blocks of a CAR in order, as columns. Offsets and sizes are bytes.

    Attributes:
        kind: `Block` of each.
        offset: of its section in the CAR.
        size: of the block itself.
        item: index of the item that it belongs to, or -1.
        nodes: what is known of the blocks that aren't leaves.
        parts: the blocks of files of more than one leaf, in order, and `start` of each.
        spread: where the blocks are that are linked to by a name.
        names: of those, in order.
        items: how many items there are.
        car_size: bytes of the whole CAR.
    """

    kind: NDArray[np.int8]
    offset: NDArray[np.int64]
    size: NDArray[np.int32]
    item: NDArray[np.int32]
    nodes: NodeColumns
    parts: tuple[NDArray[np.int64], NDArray[np.int64]]
    spread: Spread
    names: PackedPaths
    items: int
    car_size: int

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def tsize(self) -> Sparse:
        """Bytes of all blocks of the subtree of each."""
        return Sparse(self.size, self.nodes.at, self.nodes.tsize)

    @property
    def count(self) -> Sparse:
        """Blocks of the subtree of each, itself included: the subtree is `[k, k + count[k])`."""
        return Sparse(np.broadcast_to(np.int64(1), (len(self),)), self.nodes.at, self.nodes.count)

    @property
    def start(self) -> Sparse:
        """Offset within its item of the file data in the subtree of each (leaves and file nodes)."""
        return Sparse(np.broadcast_to(np.int64(0), (len(self),)), *self.parts)

    @property
    def length(self) -> Sparse:
        """Bytes of file data in the subtree of each (leaves and file nodes)."""
        return Sparse(self.size, self.nodes.at, self.nodes.length)

    @property
    def parent(self) -> NDArray[np.int64]:
        """Index of the block that links to each; -1 for the root, block 0. Made when it is asked for."""
        out = np.full(len(self), -1, dtype=np.int64)
        for node, count in zip(self.nodes.at.tolist(), self.nodes.count.tolist(), strict=True):
            out[node + 1 : node + count] = node
        return out

    @property
    def name(self) -> NDArray[np.int64]:
        """Index in `names` of the link to each; -1 for links inside a file, which have empty names."""
        return self.spread.rows(np.arange(len(self)))

    @property
    def named(self) -> NDArray[np.int64]:
        """The blocks that are linked to by a name, and the root."""
        return self.spread.blocks(np.arange(len(self.names)))

    @property
    def roots(self) -> NDArray[np.int32]:
        """The root block of each item."""
        out = np.zeros(self.items, dtype=np.int32)
        for low in range(0, len(self.names), _PART):
            blocks = self.spread.blocks(np.arange(low, min(low + _PART, len(self.names))))
            items = self.item[blocks]
            out[items[items >= 0]] = blocks[items >= 0]
        return out

    def children(self, node: int) -> NDArray[np.int64]:
        """The blocks that a node links to, in order."""
        return self.nodes.children(node)

    def link_names(self, blocks: NDArray[np.int64]) -> list[bytes]:
        """Names of the links to blocks that have one."""
        return paths_at(self.names, self.spread.rows(blocks))

    def data_offset(self, block: int) -> int:
        """Offset in the CAR of the block's own bytes."""
        return int(self.offset[block]) + varint.length(cid.SIZE + int(self.size[block])) + cid.SIZE


def compute_layout(items: Items, profile: Profile = UNIXFS_V1_2025, *, real_names: bool = False) -> Layout:
    """The layout of the CAR of these items; see `build_tree` for `real_names`.

    Raises:
        ValueError: the items aren't in path order, or two names in a folder have the same HAMT hash.
    """
    tree = measure_tree(build_tree(items, real_names=real_names), items, profile)
    car_size = HEADER_SIZE + int(tree.span[0])
    rows = _Rows.of(tree)
    del tree
    kind, size, item = rows.kind, rows.size, rows.item
    spread = Spread.of(rows.large, rows.count_of_large)
    parts = [rows.nodes(spread)]
    starts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    if len(rows.large):
        blocks = np.ones(len(kind), dtype=np.int64)
        blocks[rows.large] = rows.count_of_large
        kind, size, item = np.repeat(kind, blocks), np.repeat(size, blocks), np.repeat(item, blocks)
        parents = spread.blocks(rows.parent_of_large).tolist()  # that of the root is no block
        for base, parent in zip(spread.bases.tolist(), parents, strict=True):
            shape = balanced.shape(int(items.sizes[item[base]]), profile)
            part = slice(base, base + len(shape.size))
            kind[part] = np.where(shape.height == 0, Block.LEAF, Block.FILE)
            size[part] = shape.size
            parts.append(_file_nodes(shape, base, parent))
            starts.append((np.arange(part.start, part.stop), shape.start))
    none = np.zeros(0, dtype=np.int64)
    return Layout(
        kind=kind,
        offset=_offsets(size, car_size),
        size=size,
        item=item,
        nodes=NodeColumns.joined(parts),
        parts=(
            np.concatenate([none, *(at for at, _ in starts)]),
            np.concatenate([none, *(start for _, start in starts)]),
        ),
        spread=spread,
        names=rows.names,
        items=len(items),
        car_size=car_size,
    )


def _offsets(sizes: NDArray[np.int32], car_size: int) -> NDArray[np.int64]:
    """Where the section of each block is."""
    out = np.empty(len(sizes), dtype=np.int64)
    at = HEADER_SIZE
    for low in range(0, len(sizes), _PART):
        sections = balanced.section_sizes(sizes[low : low + _PART].astype(np.int64))
        ends = at + np.cumsum(sections)
        out[low : low + _PART] = ends - sections
        at = int(ends[-1])
    if at != car_size:
        raise AssertionError("layout: sizes from the tree and from the blocks differ")
    return out


def _file_nodes(shape: balanced.Shape, base: int, parent: int) -> NodeColumns:
    """The nodes of a file of more than one leaf, whose first block is `base`."""
    inner = np.flatnonzero(shape.height > 0)
    parents = shape.parent[inner] + base
    parents[0] = parent
    columns = (shape.tsize, shape.count, shape.length)
    return NodeColumns(base + inner, parents, *(column[inner] for column in columns))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of the tree and HAMT nodes in block order; a file of many leaves is a single one here.

    `inner` are the folders, HAMT nodes and links among them, `large` the files of many leaves.
    """

    kind: NDArray[np.int8]
    size: NDArray[np.int32]
    item: NDArray[np.int32]
    names: PackedPaths
    inner: NDArray[np.int64]
    parent: NDArray[np.int64]
    tsize: NDArray[np.int64]
    count: NDArray[np.int64]
    large: NDArray[np.int64]
    parent_of_large: NDArray[np.int64]
    count_of_large: NDArray[np.int64]

    @classmethod
    def of(cls, tree: Tree) -> "_Rows":
        kinds = np.array([Block.LEAF, Block.DIRECTORY, Block.SYMLINK], dtype=np.int8)  # by Kind
        if not tree.hamts and not tree.unsorted:
            columns = (tree.parent, tree.size, tree.tsize, tree.count, tree.item)
            return cls._chosen(kinds[tree.kind], *columns, tree.names)
        order = block_order(tree)
        rows, real = order.rows, order.rows >= 0
        kind, item = kinds[tree.kind[rows]], np.where(real, tree.item[rows], NO_ITEM).astype(np.int32)
        size, tsize, count = tree.size[rows], tree.tsize[rows], tree.count[rows]
        places, *of_hamts = order.hamts
        kind[places] = Block.HAMT
        size[places], tsize[places], count[places] = of_hamts
        return cls._chosen(kind, order.parent, size, tsize, count, item, order.names(tree.names))

    @classmethod
    def _chosen(
        cls,
        kind: NDArray[np.int8],
        parent: NDArray[np.int32],
        size: NDArray[np.int32],
        tsize: NDArray[np.int64],
        count: NDArray[np.int32],
        item: NDArray[np.int32],
        names: PackedPaths,
    ) -> "_Rows":
        """Of whole columns, what is needed."""
        inner = np.flatnonzero(kind != Block.LEAF)
        large = np.flatnonzero((kind == Block.LEAF) & (count > 1))
        return cls(
            kind=kind,
            size=size,
            item=item,
            names=names,
            inner=inner,
            parent=parent[inner].astype(np.int64),
            tsize=tsize[inner],
            count=count[inner].astype(np.int64),
            large=large,
            parent_of_large=parent[large].astype(np.int64),
            count_of_large=count[large].astype(np.int64),
        )

    def nodes(self, spread: Spread) -> NodeColumns:
        """The folders, HAMT nodes and links."""
        parent = np.where(self.parent < 0, -1, spread.blocks(self.parent))
        nothing = np.zeros(len(self.inner), dtype=np.int64)
        return NodeColumns(spread.blocks(self.inner), parent, self.tsize, self.count, nothing)
