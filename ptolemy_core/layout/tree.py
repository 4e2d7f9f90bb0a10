"""The tree of a container, as columns, and the exact size of every block in it.

Rows are files (or shards), links and folders, a folder before its entries. Sizes are computed from the deepest level
up, because a link contains the size of its whole subtree.
"""

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, dagpb, hamt, unixfs
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import names
from ptolemy_core.layout.extents import item_extents
from ptolemy_core.layout.items import WHOLE, Items
from ptolemy_core.tree import SEPARATOR, Kind
from ptolemy_core.tree.paths import common_folders

ROOT = 0
NO_ITEM = -1


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

    names: list[bytes]
    parent: NDArray[np.int64]
    depth: NDArray[np.int64]
    kind: NDArray[np.int8]
    item: NDArray[np.int64]
    unsorted: set[int]
    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    span: NDArray[np.int64]
    count: NDArray[np.int64]
    hamts: dict[int, hamt.HamtNode] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)


def build_tree(items: Items, *, real_names: bool = False) -> Tree:
    """The rows of a container's tree, without sizes.

    Args:
        items: in path order.
        real_names: don't escape names that look like a shard's; for items without shards.

    Raises:
        ValueError: the items aren't in path order, or two of them have the same path.
    """
    row_names: list[bytes] = [b""]
    parents, depths, row_items = array("q", [-1]), array("q", [0]), array("q", [NO_ITEM])
    unsorted: set[int] = set()
    if len(items) == 1 and items.paths[0] == b"":
        row_items[0] = 0
        return _finish(items, row_names, parents, depths, row_items, unsorted)

    last_folder: bytes | None = b""
    components: list[bytes] = []
    rows = [ROOT]  # row of each open folder, the root first
    previous = b""
    shards = array("i", items.shards.astype(np.int32).tobytes())
    for number, path in enumerate(items.paths):
        shard = shards[number]
        if path < previous or (path == previous and (shard == WHOLE or number == 0)):
            raise ValueError(f"items are not in path order: {path!r} after {previous!r}")
        previous = path
        folder, _, name = path.rpartition(SEPARATOR)
        if folder != last_folder:
            wanted = folder.split(SEPARATOR) if folder else []
            common = common_folders(components, wanted)
            del rows[common + 1 :]
            for component in wanted[common:]:
                encoded = component if real_names else names.encode(component)
                if encoded != component:
                    unsorted.add(rows[-1])
                row_names.append(encoded)
                parents.append(rows[-1])
                depths.append(len(rows))
                row_items.append(NO_ITEM)
                rows.append(len(row_names) - 1)
            components, last_folder = wanted, folder
        encoded = name if real_names else names.encode(name, shard if shard != WHOLE else None)
        if encoded != name:
            unsorted.add(rows[-1])
        row_names.append(encoded)
        parents.append(rows[-1])
        depths.append(len(rows))
        row_items.append(number)
    return _finish(items, row_names, parents, depths, row_items, unsorted)


def _finish(
    items: Items,
    row_names: list[bytes],
    parents: "array[int]",
    depths: "array[int]",
    row_items: "array[int]",
    unsorted: set[int],
) -> Tree:
    item = np.frombuffer(row_items, dtype=np.int64)
    kind = np.full(len(item), Kind.DIRECTORY, dtype=np.int8)
    real = item != NO_ITEM
    kind[real] = items.kinds[item[real]]
    empty = np.zeros(len(item), dtype=np.int64)
    return Tree(
        row_names,
        np.frombuffer(parents, dtype=np.int64),
        np.frombuffer(depths, dtype=np.int64),
        kind,
        item,
        unsorted,
        empty,
        empty.copy(),
        empty.copy(),
        empty.copy(),
    )


def measure_tree(tree: Tree, items: Items, profile: Profile) -> Tree:
    """Set the sizes of all rows, and the tries of the folders whose plain block exceeds the threshold."""
    _measure_leaves(tree, items, profile)
    name_lengths = np.fromiter(map(len, tree.names), dtype=np.int64, count=len(tree))
    links = np.zeros(len(tree), dtype=np.int64)
    by_depth = np.argsort(tree.depth, kind="stable")
    edges = np.searchsorted(tree.depth[by_depth], np.arange(tree.depth.max() + 2))
    children: _Children | None = None
    for level in range(len(edges) - 2, -1, -1):
        rows = by_depth[edges[level] : edges[level + 1]]
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
            np.add.at(links, parent, dagpb.link_sizes(name_lengths[rows], tree.tsize[rows]))
            np.add.at(tree.tsize, parent, tree.tsize[rows])
            np.add.at(tree.span, parent, tree.span[rows])
            np.add.at(tree.count, parent, tree.count[rows])
    return tree


def _measure_leaves(tree: Tree, items: Items, profile: Profile) -> None:
    """Set the sizes of files and links."""
    rows = np.flatnonzero((tree.item != NO_ITEM) & (tree.kind != Kind.DIRECTORY))
    extents = item_extents(tree.kind[rows], items.sizes[tree.item[rows]], profile)
    tree.size[rows], tree.tsize[rows] = extents.size, extents.tsize
    tree.span[rows], tree.count[rows] = extents.span, extents.count


class _Children:
    """The entries' rows of each folder."""

    def __init__(self, tree: Tree) -> None:
        self._rows = np.argsort(tree.parent, kind="stable")
        self._edges = np.searchsorted(tree.parent[self._rows], np.arange(len(tree) + 1))

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
