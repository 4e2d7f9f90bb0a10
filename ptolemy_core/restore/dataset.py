"""Tells a data set's own root among CARs: its CAR has the folders of all others, by real names, and no file's bytes.

Whether another CAR is one of that data set is decided by its entries: most of them are in the root's tree, at the
same path and with the same CID. Such a CAR isn't extracted again, and by its own names.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.reader import hamt
from ptolemy_core.reader.dagpb import Type
from ptolemy_core.reader.hashes import parse_cid
from ptolemy_core.reader.links import Link
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.dag import Node, read_node
from ptolemy_core.restore.measure import Total
from ptolemy_core.restore.naming import Naming
from ptolemy_core.restore.walk import Tree, TreeEntry, Walk, Wanted

_TRIED = 1000
"""Entries of a CAR that are looked for in the root's tree."""
_MAX_LINKS = 100_000
"""Links of a split file's nodes that are looked at."""


def is_root(car: int, total: Total) -> bool:
    """Whether a tree that was measured is a data set's root: all content is in other CARs, given or not."""
    return not total.content & 1 << car and (total.lost > 0 or total.cars != 1 << car)


class RootTree:
    """The tree of a data set's root, to look up paths in.

    Args:
        blocks: of all CARs.
        root: binary CID.
        car: number of the root's CAR.
    """

    def __init__(self, blocks: Blocks, root: bytes, car: int) -> None:
        self._blocks = blocks
        self._root = root
        self._car = car
        self._node = lru_cache(maxsize=64)(self._read)

    def holds(self, tree: Tree) -> bool:
        """Whether another CAR's tree is a part of this one."""
        whole = Tree(tree.root, tree.car, Naming(), Wanted.of(()))
        tried = same = 0
        for entry in islice(Walk(self._blocks, whole, lambda path, reason: None), _TRIED):
            if entry.kind == "directory" or not entry.size:
                continue  # what is empty is the same everywhere
            tried += 1
            same += self._has(entry)
        return same > 0 and 2 * same >= tried

    def _has(self, entry: TreeEntry) -> bool:
        try:
            cid = self._at(list(entry.path))
            if cid is None:
                return False
            if entry.shard is None:
                return cid == entry.cid
            below = set(islice(self._links_of_split(cid), _MAX_LINKS))
            return entry.cid in below or self._first_link(entry) in below
        except BlockError:
            return False

    def _read(self, cid: bytes) -> Node:
        return read_node(self._blocks, cid, Spot(self._car, self._blocks.cars[self._car].start))

    def _at(self, names: list[bytes]) -> bytes | None:
        """The CID at this path."""
        cid = self._root
        for name in names:
            if parse_cid(cid).codec != profile_cid.DAG_PB:
                return None
            link = _entry(self._node(cid), name, self._node)
            if link is None:
                return None
            cid = link.cid
        return cid

    def _links_of_split(self, cid: bytes) -> Iterator[bytes]:
        """What the nodes of a file that are in the root's CAR lead to."""
        todo = [cid]
        while todo:
            here = todo.pop()
            if parse_cid(here).codec != profile_cid.DAG_PB:
                continue
            node = self._node(here)
            if node.spot.car != self._car:
                continue
            for link in node.links:
                yield link.cid
                todo.append(link.cid)

    def _first_link(self, shard: TreeEntry) -> bytes | None:
        """The first node below a shard's own root: a whole file's nodes lead there."""
        if parse_cid(shard.cid).codec != profile_cid.DAG_PB:
            return None
        links = read_node(self._blocks, shard.cid, shard.spot).links
        return links[0].cid if links else None


def _entry(node: Node, name: bytes, read: Callable[[bytes], Node]) -> Link | None:
    """The link of an entry in a folder, plain or sharded."""
    bits = hamt.murmur3(name) if node.unixfs.type == Type.HAMT else 0
    left = hamt.HASH_BITS
    while node.unixfs.type == Type.HAMT:
        fanout = node.unixfs.fanout or 0
        width = fanout.bit_length() - 1
        if width < 1 or left < width:
            return None
        left -= width
        prefix = f"{bits >> left & fanout - 1:0{hamt.digits(fanout)}X}".encode()
        below = next((link for link in node.links if (link.name or b"") in (prefix, prefix + name)), None)
        if below is None or below.name != prefix:
            return below
        node = read(below.cid)
    return next((link for link in node.links if link.name == name), None)
