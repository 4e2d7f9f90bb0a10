"""The order of a tree's blocks: that of its rows, but in folders that are HAMTs, or whose names sort otherwise.

What is in neither keeps its order, and is moved as a whole.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.layout.tree import ROOT, Children, Tree
from ptolemy_core.tree import Kind
from ptolemy_core.tree.packed import PackedPaths, paths_at

_PART = 1 << 16
"""Rows that are placed together."""

_BY_ROW = -2
"""Of a place whose parent is where its row's parent is."""

_NO_SLOT = -1


@dataclass(frozen=True, slots=True)
class BlockOrder:
    """All rows and HAMT nodes in the order of their blocks, as columns.

    Attributes:
        rows: the row at each place; -1 for an inner HAMT node.
        parent: the place of what links to it; -1 for the root.
        slots: of that link in a HAMT node; -1 elsewhere.
        hamts: places of HAMT nodes, folders among them, and their bytes, those of their subtrees, and their blocks.
    """

    rows: NDArray[np.int32]
    parent: NDArray[np.int32]
    slots: NDArray[np.int16]
    hamts: tuple[NDArray[np.int64], ...]

    def names(self, of_rows: PackedPaths) -> PackedPaths:
        """The names of the links to all places, from those of the rows."""
        out = PackedPaths()
        for low in range(0, len(self.rows), _PART):
            rows, slots = self.rows[low : low + _PART], self.slots[low : low + _PART].tolist()
            names = paths_at(of_rows, np.maximum(rows, ROOT))
            if max(slots) >= 0:
                both = zip(names, rows.tolist(), slots, strict=True)
                names = [
                    (b"%02X" % slot if slot >= 0 else b"") + (name if row >= 0 else b"")
                    for name, row, slot in both
                ]
            out.extend(names)
        return out.finish()


def block_order(tree: Tree) -> BlockOrder:
    """The order of the blocks of a tree that is measured."""
    return _Ordering(tree).whole()


@dataclass(slots=True)
class _Folder:
    """A folder whose entries are being placed: rows, or -1 - n for its HAMT node n; and which of them is next.

    `parents` are nodes' numbers, `slots` those of the links, `nodes` the places of its HAMT nodes; None: it is none.
    """

    sequence: NDArray[np.int64]
    next: int = 0
    parents: NDArray[np.int64] | None = None
    slots: NDArray[np.int16] | None = None
    nodes: NDArray[np.int64] | None = None


class _Ordering:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._children = Children(tree)
        self._below = _rows_below(tree)
        self._special = _special(tree)
        self._rows, self._parents, self._slots = array("i"), array("i"), array("h")
        self._hamts: list[tuple[NDArray[np.int64], ...]] = []

    def whole(self) -> BlockOrder:
        """Place all rows."""
        tree = self._tree
        top = _Folder(np.array([ROOT]))
        stack = [top]
        opened: list[tuple[int, _Folder]] = []  # HAMT folders, whose nodes have all their places in the end
        while stack:
            folder = stack[-1]
            if folder.next == len(folder.sequence):
                stack.pop()
                continue
            stop = self._plain_until(folder)
            if stop > folder.next:
                self._place(folder, stop)
                continue
            row = int(folder.sequence[folder.next])
            place = len(self._rows)
            self._place(folder, stop + 1, alone=True)
            below = self._open(row, place)
            if below.nodes is not None:
                opened.append((row, below))
            stack.append(below)
        for row, folder in opened:
            trie = tree.hamts[row]
            assert folder.nodes is not None
            self._hamts.append((folder.nodes, trie.size, trie.tsize, trie.count))
        rows = np.frombuffer(self._rows, dtype=np.int32)
        parents = np.frombuffer(self._parents, dtype=np.int32).copy()
        place_of = np.zeros(len(tree), dtype=np.int32)
        for low, part in _cut(rows):
            real = part >= 0
            place_of[part[real]] = low + np.flatnonzero(real)
        for low, part in _cut(rows):
            by_row = np.flatnonzero(parents[low : low + len(part)] == _BY_ROW)
            parents[low + by_row] = place_of[tree.parent[part[by_row]]]
        parents[ROOT] = -1
        none = np.zeros(0, dtype=np.int64)
        hamts = tuple(np.concatenate([none, *of]) for of in zip(*self._hamts, strict=True)) or (none,) * 4
        return BlockOrder(rows, parents, np.frombuffer(self._slots, dtype=np.int16), hamts)

    def _plain_until(self, folder: _Folder) -> int:
        """The first entry of the folder, of those to be placed, below which rows change their order."""
        for low in range(folder.next, len(folder.sequence), _PART):
            part = folder.sequence[low : low + _PART]
            special = np.flatnonzero((part >= 0) & self._special[part])
            if len(special):
                return low + int(special[0])
        return len(folder.sequence)

    def _place(self, folder: _Folder, stop: int, *, alone: bool = False) -> None:
        """Place entries up to `stop`, each with all below it; or `alone`."""
        for low in range(folder.next, stop, _PART):
            part = slice(low, min(low + _PART, stop))
            sequence = folder.sequence[part]
            inner = sequence < 0
            lengths = np.where(inner | alone, 1, self._below[sequence])
            begins = np.cumsum(lengths) - lengths
            rows = np.arange(int(lengths.sum())) + np.repeat(np.where(inner, -1, sequence) - begins, lengths)
            parents = np.full(len(rows), _BY_ROW, dtype=np.int32)
            slots = np.full(len(rows), _NO_SLOT, dtype=np.int16)
            if folder.nodes is not None and folder.parents is not None and folder.slots is not None:
                folder.nodes[-1 - sequence[inner]] = len(self._rows) + begins[inner]
                parents[begins] = folder.nodes[folder.parents[part]]
                slots[begins] = folder.slots[part]
            self._rows.frombytes(rows.astype(np.int32).tobytes())
            self._parents.frombytes(parents.tobytes())
            self._slots.frombytes(slots.tobytes())
        folder.next = stop

    def _open(self, row: int, place: int) -> _Folder:
        """The entries of a folder in their order."""
        rows = self._children.of(row)
        trie = self._tree.hamts.get(row)
        if trie is None:
            if row in self._tree.unsorted:
                names = paths_at(self._tree.names, rows)
                rows = rows[sorted(range(len(names)), key=names.__getitem__)]
            return _Folder(rows.astype(np.int64))
        of_nodes, of_entries = trie.places()
        count = len(of_nodes) + len(of_entries)
        sequence, parents = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
        slots = np.empty(count, dtype=np.int16)
        sequence[of_nodes], sequence[of_entries] = -1 - np.arange(len(of_nodes)), rows[trie.order]
        parents[of_nodes], parents[of_entries] = trie.parent, trie.of_entry
        slots[of_nodes], slots[of_entries] = trie.slot, trie.slots
        nodes = np.zeros(len(of_nodes), dtype=np.int64)
        nodes[0] = place  # the root is the folder itself
        return _Folder(sequence, 1, parents, slots, nodes)


def _cut(rows: NDArray[np.int32]) -> Iterator[tuple[int, NDArray[np.int32]]]:
    return ((low, rows[low : low + _PART]) for low in range(0, len(rows), _PART))


def _rows_below(tree: Tree) -> NDArray[np.int32]:
    """How many rows the subtree of each has, itself included: they are side by side."""
    out = np.ones(len(tree), dtype=np.int32)
    folders = np.flatnonzero(tree.kind == Kind.DIRECTORY)
    depth = tree.depth[folders]
    np.add.at(out, tree.parent[1:][tree.kind[1:] != Kind.DIRECTORY], 1)
    for level in range(int(depth.max(initial=0)), 0, -1):
        of_level = folders[depth == level]
        np.add.at(out, tree.parent[of_level], out[of_level])
    return out


def _special(tree: Tree) -> NDArray[np.bool_]:
    """The folders that are HAMTs or sorted otherwise, and all that these are in."""
    out = np.zeros(len(tree), dtype=np.bool_)
    for folder in [*tree.hamts, *tree.unsorted]:
        row = folder
        while row >= 0 and not out[row]:
            out[row] = True
            row = int(tree.parent[row])
    return out
