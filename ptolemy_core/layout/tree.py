"""The tree of a container, as columns, and the exact size of every block in it.

Rows are files (or shards), links and folders, a folder before its entries. Sizes are computed from the deepest level
up, because a link contains the size of its whole subtree.
"""

import itertools
import operator
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, dagpb, hamt, unixfs
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import names
from ptolemy_core.layout.extents import item_extents
from ptolemy_core.layout.items import WHOLE, Items
from ptolemy_core.tree import SEPARATOR, Kind
from ptolemy_core.tree.packed import PackedPaths, by_folder
from ptolemy_core.tree.paths import common_folders

ROOT = 0
NO_ITEM = -1

_PART = 1 << 16
"""Rows that are measured together."""


@dataclass(slots=True)
class Tree:
    """Rows in path order, parents first.

    Attributes:
        names: name of each row inside the CAR.
        parent: row of its folder; -1 for the root, row 0.
        depth: levels below the root.
        kind: `Kind` of each; a folder is DIRECTORY, empty or not.
        item: index of the row's item, or NO_ITEM.
        unsorted: folders whose entries are ordered differently by their names inside the CAR than by path.
        size, tsize, span, count: bytes of the row's own block, of all blocks of its subtree, of their CAR sections;
            number of those blocks. Set by `measure_tree`.
        hamts: the tries of the folders that need one, by row. Set by `measure_tree`.
    """

    names: PackedPaths
    parent: NDArray[np.int32]
    depth: NDArray[np.int16]
    kind: NDArray[np.int8]
    item: NDArray[np.int32]
    unsorted: set[int]
    size: NDArray[np.int32]
    tsize: NDArray[np.int64]
    span: NDArray[np.int64]
    count: NDArray[np.int32]
    hamts: dict[int, hamt.HamtNode] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.parent)


def build_tree(items: Items, *, real_names: bool = False) -> Tree:
    """The rows of a container's tree, without sizes.

    Args:
        items: in path order.
        real_names: don't escape names that look like a shard's; for items without shards.

    Raises:
        ValueError: the items aren't in path order, or two of them have the same path.
    """
    rows = _Rows(real_names)
    if len(items) == 1 and items.paths[0] == b"":
        rows.items[ROOT] = 0
        return rows.tree(items)
    split = bool((items.shards != WHOLE).any())
    previous: bytes | None = None
    at = 0
    for folder, group in by_folder(items.paths):
        numbers = items.shards[at : at + len(group)].tolist() if split else None
        previous = _require_order(previous, folder, group, numbers)
        rows.enter(folder)
        rows.add(group, numbers, at)
        at += len(group)
    return rows.tree(items)


def _require_order(
    previous: bytes | None, folder: bytes, names: list[bytes], shards: list[int] | None
) -> bytes:
    """See that paths of a folder are in order, after the path before them; returns the last of them.

    Raises:
        ValueError: they aren't.
    """
    before = previous
    head = folder + SEPARATOR if folder else b""
    ascending = all(map(operator.lt, names, itertools.islice(names, 1, None)))
    for number, name in enumerate(names[:1] if ascending else names):
        path = head + name
        again = path == (before or b"") and (shards is None or shards[number] == WHOLE or before is None)
        if again or (before is not None and path < before):
            raise ValueError(f"items are not in path order: {path!r} after {before or b''!r}")
        before = path
    return head + names[-1]


class _Rows:
    """The rows of a tree, folder by folder."""

    def __init__(self, real_names: bool) -> None:
        self._real_names = real_names
        self._names = PackedPaths()
        self._names.extend([b""])
        self._parents, self._depths = array("i", [-1]), array("h", [0])
        self.items = array("i", [NO_ITEM])
        self._unsorted: set[int] = set()
        self._folder = b""
        self._components: list[bytes] = []
        self._open = [ROOT]  # row of each open folder, the root first

    def enter(self, folder: bytes) -> None:
        """Let a folder be the open one; adds rows for it and those that it is in, where they are new."""
        if folder == self._folder:
            return
        wanted = folder.split(SEPARATOR) if folder else []
        common = common_folders(self._components, wanted)
        del self._open[common + 1 :]
        for component in wanted[common:]:
            encoded = component if self._real_names else names.encode(component)
            row = len(self.items)
            self._append([component], [encoded], [NO_ITEM])
            self._open.append(row)
        self._components, self._folder = wanted, folder

    def add(self, entries: list[bytes], shards: list[int] | None, first: int) -> None:
        """Add rows of items in the open folder; `first` is the first one's index."""
        encoded = entries
        if not self._real_names:
            if shards is not None:
                encoded = [
                    names.encode(name, None if shard == WHOLE else shard)
                    for name, shard in zip(entries, shards, strict=True)
                ]
            elif names.may_be_encoded(b"".join(entries)):
                encoded = [names.encode(name) for name in entries]
        self._append(entries, encoded, range(first, first + len(entries)))

    def _append(self, entries: list[bytes], encoded: list[bytes], items: Iterable[int]) -> None:
        if encoded != entries:
            self._unsorted.add(self._open[-1])
        self._names.extend(encoded)
        self._parents.extend(itertools.repeat(self._open[-1], len(encoded)))
        self._depths.extend(itertools.repeat(len(self._open), len(encoded)))
        self.items.extend(items)

    def tree(self, items: Items) -> Tree:
        """The tree of all rows."""
        item = np.frombuffer(self.items, dtype=np.int32)
        kind = np.full(len(item), Kind.DIRECTORY, dtype=np.int8)
        for part in _parts(len(item)):
            real = item[part] != NO_ITEM
            kind[part][real] = items.kinds[item[part][real]]
        return Tree(
            self._names.finish(),
            np.frombuffer(self._parents, dtype=np.int32),
            np.frombuffer(self._depths, dtype=np.int16),
            kind,
            item,
            self._unsorted,
            np.zeros(len(item), dtype=np.int32),
            np.zeros(len(item), dtype=np.int64),
            np.zeros(len(item), dtype=np.int64),
            np.zeros(len(item), dtype=np.int32),
        )


def _parts(count: int) -> Iterator[slice]:
    """Slices of all rows: what is computed of one slice at a time stays small."""
    return (slice(low, min(low + _PART, count)) for low in range(0, count, _PART))


def measure_tree(tree: Tree, items: Items, profile: Profile) -> Tree:
    """Set the sizes of all rows, and the tries of the folders whose plain block exceeds the threshold."""
    _measure_leaves(tree, items, profile)
    name_lengths = tree.names.lengths()
    links = np.zeros(len(tree), dtype=np.int64)
    by_depth = np.argsort(tree.depth, kind="stable").astype(np.int32)
    edges = np.cumsum(np.bincount(tree.depth)).tolist()
    children: _Children | None = None
    for level in range(len(edges) - 1, -1, -1):
        of_level = by_depth[edges[level - 1] if level else 0 : edges[level]]
        for part in _parts(len(of_level)):
            rows = of_level[part]
            folders = rows[tree.kind[rows] == Kind.DIRECTORY]
            if len(folders):
                block = unixfs.PLAIN_DIRECTORY_DATA + links[folders]
                tree.size[folders] = block
                tree.tsize[folders] += block
                tree.span[folders] += balanced.section_sizes(block)
                tree.count[folders] += 1
                for folder in folders[block > profile.hamt_threshold].tolist():
                    children = children or _Children(tree)
                    _measure_hamt(tree, folder, children.of(folder))
            if level:
                parent = tree.parent[rows]
                np.add.at(
                    links, parent, dagpb.link_sizes(name_lengths[rows].astype(np.int64), tree.tsize[rows])
                )
                np.add.at(tree.tsize, parent, tree.tsize[rows])
                np.add.at(tree.span, parent, tree.span[rows])
                np.add.at(tree.count, parent, tree.count[rows])
    return tree


def _measure_leaves(tree: Tree, items: Items, profile: Profile) -> None:
    """Set the sizes of files and links."""
    for part in _parts(len(tree)):
        rows = part.start + np.flatnonzero((tree.item[part] != NO_ITEM) & (tree.kind[part] != Kind.DIRECTORY))
        extents = item_extents(tree.kind[rows], items.sizes[tree.item[rows]], profile)
        tree.size[rows], tree.tsize[rows] = extents.size, extents.tsize
        tree.span[rows], tree.count[rows] = extents.span, extents.count


class _Children:
    """The entries' rows of each folder."""

    def __init__(self, tree: Tree) -> None:
        self._rows = np.argsort(tree.parent, kind="stable").astype(np.int32)
        counts = np.bincount(tree.parent[1:], minlength=len(tree))
        self._edges = np.concatenate([[1], 1 + np.cumsum(counts)]).astype(np.int32)  # the root is nobody's

    def of(self, folder: int) -> list[int]:
        rows: list[int] = self._rows[self._edges[folder] : self._edges[folder + 1]].tolist()
        return rows


def _measure_hamt(tree: Tree, folder: int, rows: list[int]) -> None:
    root = hamt.trie([tree.names[row] for row in rows])
    hamt.measure(root, tree.tsize[rows].tolist(), tree.span[rows].tolist(), tree.count[rows].tolist())
    for node in root.nodes():  # entries become rows of the tree
        node.links = [(name, rows[t] if isinstance(t, int) else t) for name, t in node.links]
    tree.hamts[folder] = root
    tree.size[folder], tree.tsize[folder] = root.size, root.tsize
    tree.span[folder], tree.count[folder] = root.span, root.count


def block_order(tree: Tree) -> list[tuple[int, int, bytes, "hamt.HamtNode | None"]]:
    """All rows and HAMT nodes in the order of their blocks.

    Each is (row, index of the parent in this list, name of the link to it, its HAMT node or None); inner HAMT nodes
    have row -1.
    """
    children = _Children(tree)
    is_folder = (tree.kind == Kind.DIRECTORY).tobytes()  # a byte is read faster than an array's element
    out: list[tuple[int, int, bytes, hamt.HamtNode | None]] = []
    todo: list[tuple[int, int, bytes, hamt.HamtNode | None]] = [
        (ROOT, -1, tree.names[ROOT], tree.hamts.get(ROOT))
    ]
    while todo:
        entry = todo.pop()
        place = len(out)
        out.append(entry)
        row, _, _, node = entry
        if node is not None:
            for name, target in reversed(node.links):
                if isinstance(target, int):
                    todo.append((target, place, name, tree.hamts.get(target)))
                else:
                    todo.append((-1, place, name, target))
        elif is_folder[row]:
            rows = children.of(row)
            if row in tree.unsorted:
                rows.sort(key=lambda r: tree.names[r])
            for target in reversed(rows):
                todo.append((target, place, tree.names[target], tree.hamts.get(target)))
    return out
