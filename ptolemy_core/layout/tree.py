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

from ptolemy_core.dag import balanced, dagpb, hamt_trie, unixfs
from ptolemy_core.dag.hamt import SameHashError, hashes_of
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import names
from ptolemy_core.layout.extents import item_extents
from ptolemy_core.layout.items import WHOLE, Items
from ptolemy_core.tree import SEPARATOR, Kind
from ptolemy_core.tree.packed import PackedPaths, by_folder, paths_at
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
    depth: NDArray[np.int32]
    kind: NDArray[np.int8]
    item: NDArray[np.int32]
    unsorted: set[int]
    size: NDArray[np.int32]
    tsize: NDArray[np.int64]
    span: NDArray[np.int64]
    count: NDArray[np.int32]
    hamts: dict[int, hamt_trie.Trie] = field(default_factory=dict)

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
        previous = require_order(previous, folder, group, numbers)
        rows.enter(folder)
        rows.add(group, numbers, at)
        at += len(group)
    return rows.tree(items)


def require_order(
    previous: bytes | None, folder: bytes, names: list[bytes], shards: list[int] | None
) -> bytes:
    """See that paths of a folder are in order, after the path before them (None: there is none).

    Returns:
        the last of them.

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


def encoded_names(entries: list[bytes], shards: list[int] | None) -> list[bytes]:
    """The names inside a CAR of items; `shards` are their shards' numbers (None: all are whole)."""
    if shards is not None:
        return [
            names.encode(name, None if shard == WHOLE else shard)
            for name, shard in zip(entries, shards, strict=True)
        ]
    return [names.encode(name) for name in entries] if names.may_be_encoded(b"".join(entries)) else entries


class _Rows:
    """The rows of a tree, folder by folder."""

    def __init__(self, real_names: bool) -> None:
        self._real_names = real_names
        self._names = PackedPaths()
        self._names.extend([b""])
        self._parents, self._depths = array("i", [-1]), array("i", [0])
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
        encoded = entries if self._real_names else encoded_names(entries, shards)
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
            np.frombuffer(self._depths, dtype=np.int32),
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
    children: Children | None = None
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
                    children = children or Children(tree)
                    _measure_hamt(tree, folder, children.of(folder), name_lengths)
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


class Children:
    """The entries' rows of each folder."""

    def __init__(self, tree: Tree) -> None:
        self._rows = np.argsort(tree.parent, kind="stable").astype(np.int32)
        counts = np.bincount(tree.parent[1:], minlength=len(tree))
        self._edges = np.concatenate([[1], 1 + np.cumsum(counts)]).astype(np.int32)  # the root is nobody's

    def of(self, folder: int) -> NDArray[np.int32]:
        """The rows of a folder's entries, in path order."""
        return self._rows[self._edges[folder] : self._edges[folder + 1]]


def _measure_hamt(tree: Tree, folder: int, rows: NDArray[np.int32], name_lengths: NDArray[np.int32]) -> None:
    hashes = np.empty(len(rows), dtype=np.uint64)
    for part in _parts(len(rows)):
        hashes[part] = hashes_of(paths_at(tree.names, rows[part]))
    try:
        trie = hamt_trie.trie(hashes)
    except SameHashError as error:
        raise error.naming(paths_at(tree.names, rows[hashes == error.hash])) from error
    trie.measure(name_lengths[rows], tree.tsize[rows], tree.span[rows], tree.count[rows])
    tree.hamts[folder] = trie
    tree.size[folder], tree.tsize[folder] = trie.size[0], trie.tsize[0]
    tree.span[folder], tree.count[folder] = trie.span[0], trie.count[0]
