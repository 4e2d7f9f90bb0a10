"""The entries of UnixFS folders, plain or sharded, in the order of their links: what extract lists and writes.

Specification: https://specs.ipfs.tech/unixfs/. Memory holds the folders of one path; an entry costs the same at any
depth. What is asked for, and what names stand for, is decided here a folder at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ptolemy_core.reader import hamt
from ptolemy_core.reader.dagpb import Type
from ptolemy_core.reader.entry import Kind
from ptolemy_core.reader.hashes import cid_text
from ptolemy_core.reader.links import Link
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.dag import MAX_PATH_BYTES, Node, Seen, look, read_node
from ptolemy_core.restore.naming import Furthest, Naming
from ptolemy_core.restore.path import ROOT, Names, Path
from ptolemy_core.tree import paths

MAX_FANOUT = 1024
"""Slots of a HAMT node at most, as https://specs.ipfs.tech/unixfs/ bounds them."""

Problem = Callable[[Path, str], None]
"""Told of a path and of what is wrong with it."""


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """An entry of a tree.

    Attributes:
        path: its real names; a root that isn't a folder has its CID as name.
        kind: what it is.
        size: bytes of content (of a link: of its target; of a folder: 0).
        cid: binary CID of its root block.
        spot: where that block is.
        target: of a symbolic link.
        shard: number of a shard, whose path is the split file's; None of all others.
    """

    path: Path
    kind: Kind
    size: int
    cid: bytes
    spot: Spot
    target: bytes | None = None
    shard: int | None = None


class Wanted:
    """Which entries are asked for: a tree of the names that lead to them.

    Attributes:
        asked: the very path of this place was asked for.
        met: an entry was found there.
        all: everything here and below is asked for.
    """

    __slots__ = ("_below", "all", "asked", "met")

    def __init__(self, all_: bool = False) -> None:
        self._below: dict[bytes, Wanted] = {}
        self.asked = self.met = False
        self.all = all_

    @classmethod
    def of(cls, chosen: Iterable[Names]) -> "Wanted":
        """All that is at or below these paths; everything if there are none."""
        root = cls()
        for names in chosen:
            here = root
            for name in names:
                here = here._below.setdefault(name, cls(here.all))
            here.asked = True
        if not root._below:
            root.all = True
        todo = [root]
        while todo:
            here = todo.pop()
            for below in here._below.values():
                below.all = here.all or below.asked
                todo.append(below)
        return root

    def at(self, name: bytes) -> "Wanted | None":
        """What is asked for at and below this name; None if nothing is."""
        return self._below.get(name) or (_ALL if self.all else None)

    def unmet(self) -> list[bytes]:
        """Paths that were asked for and not found, NUL-joined."""
        out: list[bytes] = []
        todo: list[tuple[Names, Wanted]] = [((), self)]
        while todo:
            names, here = todo.pop()
            if here.asked and not here.met:
                out.append(paths.join_names(names))
            todo += [((*names, name), below) for name, below in here._below.items()]
        return sorted(out)


_ALL = Wanted(all_=True)


class Folder:
    """A folder, or a shard of one, whose links are being followed.

    Attributes:
        links: its links.
        next: index of the one to follow next.
        path: the folder's.
        size: bytes of its block.
        digits: of a HAMT: hex digits before each name; -1 of a plain folder.
        level: of a shard: shards above it.
        wanted: what is asked for below.
        last: whether its path is the beginning of the furthest one that was met.
    """

    __slots__ = ("digits", "last", "level", "links", "next", "path", "size", "wanted")

    def __init__(self, node: Node, path: Path, wanted: Wanted, level: int = 0, last: bool = True) -> None:
        self.links: tuple[Link, ...] = node.links
        self.next = 0
        self.path = path
        self.size = node.size
        self.wanted = wanted
        self.level = level
        self.last = last
        self.digits = -1
        if node.unixfs.type == Type.HAMT:
            fanout = node.unixfs.fanout or 0
            if not 8 <= fanout <= MAX_FANOUT or fanout & (fanout - 1):
                raise BlockError(f"a sharded folder with fanout {fanout}")
            if (level + 1) * (fanout.bit_length() - 1) > hamt.HASH_BITS:
                raise BlockError(f"a sharded folder of {level + 1} levels: names' hashes have no more bits")
            self.digits = hamt.digits(fanout)

    def shard_below(self, blocks: Blocks, link: Link, near: Spot) -> Node | None:
        """The node of a shard of this folder that a link leads to; None if the link is an entry's.

        Raises:
            BlockError: it isn't there, or is no shard.
        """
        if self.digits < 0 or len(link.name or b"") != self.digits:
            return None
        node = read_node(blocks, link.cid, near)
        if node.unixfs.type != Type.HAMT:
            raise BlockError(f"the slot {link.name!r} of a sharded folder leads to no shard")
        return node

    def name(self, link: Link) -> bytes:
        """The name that the CAR has for a link's entry."""
        return (link.name or b"")[max(self.digits, 0) :]


def root_entry(root: bytes, seen: Seen) -> TreeEntry:
    """The entry of a root that isn't a folder: its name is its CID."""
    path = ROOT.child(cid_text(root).encode())
    return TreeEntry(path, seen.kind, seen.size, root, seen.spot, seen.target)


@dataclass(frozen=True, slots=True)
class Tree:
    """A tree to walk over.

    Attributes:
        root: binary CID of a folder, or of a file or link, which comes as the only entry.
        car: number of the CAR whose root it is.
        naming: from the names that the CAR has to real ones.
        wanted: what isn't asked for is passed over, with all that is below it.
    """

    root: bytes
    car: int
    naming: Naming
    wanted: Wanted


class Walk:
    """One walk over the entries of a tree, a folder before what is in it.

    Args:
        blocks: of the CARs.
        tree: to walk over.
        problem: told of what can't be read; the walk continues after it.
        furthest: is told of the names met, to know the last path in path order.
    """

    def __init__(
        self, blocks: Blocks, tree: Tree, problem: Problem, furthest: Furthest | None = None
    ) -> None:
        self._blocks = blocks
        self._tree = tree
        self._problem = problem
        self._furthest = furthest or Furthest()
        self._near = Spot(tree.car, blocks.cars[tree.car].start)
        self._stack: list[Folder] = []
        self._path_bytes = 0

    def __iter__(self) -> Iterator[TreeEntry]:
        wanted = self._tree.wanted
        try:
            seen = look(self._blocks, self._tree.root, self._near)
            if seen.node is None or seen.kind != "directory":
                entry = root_entry(self._tree.root, seen)
                here = wanted.at(entry.path.name)
                if here is not None and here.all:
                    here.met = True
                    yield entry
                return
            self._near = seen.next
            self._descend(Folder(seen.node, ROOT, wanted))
        except BlockError as error:
            self._problem(ROOT, str(error))
            return
        while self._stack:
            folder = self._stack[-1]
            if folder.next == len(folder.links):
                self._path_bytes -= self._stack.pop().size
                continue
            link = folder.links[folder.next]
            folder.next += 1
            entry_or_none = self._follow(folder, link)
            if entry_or_none is not None:
                yield entry_or_none

    def _descend(self, folder: Folder) -> None:
        if self._path_bytes + folder.size > MAX_PATH_BYTES:
            raise BlockError(f"the folders on the way have blocks of more than {MAX_PATH_BYTES} bytes")
        self._stack.append(folder)
        self._path_bytes += folder.size

    def _follow(self, folder: Folder, link: Link) -> TreeEntry | None:
        """Go where a link leads; the entry if it is asked for."""
        path = folder.path
        try:
            node = folder.shard_below(self._blocks, link, self._near)
            if node is not None:
                self._near = node.next
                self._descend(Folder(node, path, folder.wanted, folder.level + 1, folder.last))
                return None
            name = folder.name(link)
            path = path.child(name)
            decoded = self._tree.naming.file(name)[0]
            last = self._furthest.meet(folder.last, folder.path.depth, decoded)
            if folder.wanted.at(name) is None and folder.wanted.at(decoded) is None:
                return None
            seen = look(self._blocks, link.cid, self._near)
            self._near = seen.next
            real, shard = (
                self._tree.naming.file(name) if seen.kind == "file" else (self._tree.naming.other(name), None)
            )
            path = folder.path.child(real)
            here = folder.wanted.at(real)
            if here is None:
                return None
            if seen.kind == "directory" and seen.node is not None:
                last = self._furthest.meet(folder.last, folder.path.depth, real)
                self._descend(Folder(seen.node, path, here, 0, last))
        except BlockError as error:
            self._problem(path, str(error))
            return None
        if not here.all:
            return None
        here.met = True
        return TreeEntry(path, seen.kind, seen.size, link.cid, seen.spot, seen.target, shard)
