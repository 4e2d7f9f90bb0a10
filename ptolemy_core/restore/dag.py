"""UnixFS trees of any writer, out of CARs: entries of folders, and the byte ranges that make up a file.

Specification: https://specs.ipfs.tech/unixfs/ (plain and HAMT folders, files of any chunking and layout with raw
or dag-pb leaves, symbolic links), https://ipld.io/specs/codecs/dag-pb/spec/. Every node's hash is checked.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.reader import hamt
from ptolemy_core.reader.dagpb import DagPbError, Link, Type, UnixFs, decode_node, decode_unixfs
from ptolemy_core.reader.entry import Kind
from ptolemy_core.reader.hashes import cid_text, parse_cid
from ptolemy_core.restore.blocks import BlockError, Blocks, Found, Spot

MAX_PATH_BYTES = 256 << 20
"""Bytes that the nodes on one path may have together."""
MAX_FANOUT = 1024
"""Slots of a HAMT node at most, as https://specs.ipfs.tech/unixfs/ bounds them."""

Problem = Callable[[bytes, str], None]
"""Told of a path (NUL-joined) and of what is wrong with it."""
Wanted = Callable[[tuple[bytes, ...]], bool]
"""Whether an entry of this path, or something below it, is asked for."""


class Node(NamedTuple):
    """A node's links, its UnixFS message, the size of its block, and where the block behind it is."""

    links: tuple[Link, ...]
    unixfs: UnixFs
    size: int
    next: Spot


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a tree.

    Attributes:
        names: from the root down, as the CAR has them; empty for a root that isn't a folder.
        kind: what it is.
        size: bytes of content (of a link: of its target; of a folder: 0).
        cid: binary CID of its root block.
        spot: where that block is.
        target: of a symbolic link.
    """

    names: tuple[bytes, ...]
    kind: Kind
    size: int
    cid: bytes
    spot: Spot
    target: bytes | None = None


class Leaf(NamedTuple):
    """A range of a file's bytes: `length` from `start`, in a raw block, or at hand as `data`.

    The raw block's bytes are at byte `offset` of CAR number `car`, and aren't checked yet.
    """

    start: int
    length: int
    cid: bytes
    car: int
    offset: int
    data: bytes | None = None


def read_node(blocks: Blocks, cid: bytes, near: Spot) -> Node:
    """Read and decode a dag-pb block.

    Raises:
        BlockError: it isn't there, or is no UnixFS node.
    """
    if parse_cid(cid).codec != profile_cid.DAG_PB:
        raise BlockError(f"{cid_text(cid)} is neither raw nor dag-pb: no UnixFS file or folder")
    found = blocks.find(cid, near)
    block = blocks.read(found)
    try:
        node = decode_node(block)
        unixfs = decode_unixfs(node.data or b"", strict=False)
    except DagPbError as error:
        raise BlockError(f"the block {cid_text(cid)} is no UnixFS node: {error}") from None
    return Node(node.links, unixfs, len(block), found.next)


class _Folder:
    """A folder whose links are being followed."""

    __slots__ = ("links", "next", "path", "prefix", "size")

    def __init__(self, node: Node, path: tuple[bytes, ...]) -> None:
        self.links = node.links
        self.next = 0
        self.path = path
        self.size = node.size
        self.prefix = -1  # of a HAMT: digits before each name
        if node.unixfs.type == Type.HAMT:
            fanout = node.unixfs.fanout or 0
            if not 8 <= fanout <= MAX_FANOUT or fanout & (fanout - 1):
                raise BlockError(f"a sharded folder with fanout {fanout}")
            self.prefix = hamt.digits(fanout)


def entries(blocks: Blocks, root: bytes, car: int, wanted: Wanted, problem: Problem) -> Iterator[Entry]:
    """The entries below a root, in the order of its links; a folder comes before what is in it.

    Args:
        blocks: of the CARs.
        root: binary CID; of a folder, or of a file or link, which comes as the only entry, without names.
        car: number of the CAR whose root it is.
        wanted: what isn't is passed over, with all that is below it.
        problem: told of what can't be read; the walk goes on behind it.
    """
    near = Spot(car, blocks.cars[car].start)
    stack: list[_Folder] = []
    path_bytes = 0

    def open_entry(cid: bytes, names: tuple[bytes, ...], near: Spot) -> tuple[Entry, Node | None, Spot]:
        if parse_cid(cid).codec == profile_cid.RAW:
            found = blocks.find(cid, near)
            return Entry(names, "file", found.size, cid, _spot(found)), None, found.next
        node = read_node(blocks, cid, near)
        kind = node.unixfs.type
        if kind == Type.SYMLINK:
            target = node.unixfs.data or b""
            return Entry(names, "symlink", len(target), cid, near, target), None, node.next
        if kind in (Type.FILE, Type.RAW):
            entry = Entry(names, "file", file_size(node), cid, near)
            return entry, None, _behind_file(blocks, entry, node)
        if kind in (Type.DIRECTORY, Type.HAMT):
            return Entry(names, "directory", 0, cid, near), node, node.next
        raise BlockError(f"{cid_text(cid)} is a UnixFS node of type {kind.name.lower()}")

    def descend(node: Node, names: tuple[bytes, ...]) -> None:
        nonlocal path_bytes
        if path_bytes + node.size > MAX_PATH_BYTES:
            raise BlockError(f"the folders on the way have blocks of more than {MAX_PATH_BYTES} bytes")
        stack.append(_Folder(node, names))
        path_bytes += node.size

    try:
        entry, node, near = open_entry(root, (), near)
        if node is None:
            yield entry
            return
        descend(node, ())
    except BlockError as error:
        problem(b"", str(error))
        return
    while stack:
        folder = stack[-1]
        if folder.next == len(folder.links):
            path_bytes -= stack.pop().size
            continue
        link = folder.links[folder.next]
        folder.next += 1
        name = link.name or b""
        names = folder.path
        try:
            if folder.prefix >= 0 and len(name) == folder.prefix:
                node = read_node(blocks, link.cid, near)
                if node.unixfs.type != Type.HAMT:
                    raise BlockError(f"the slot {name!r} of a sharded folder leads to no shard")
                near = node.next
                descend(node, names)
                continue
            names = (*names, name[max(folder.prefix, 0) :])
            if not wanted(names):
                continue
            entry, node, near = open_entry(link.cid, names, near)
        except BlockError as error:
            problem(b"\0".join(names), str(error))
            continue
        yield entry
        if node is not None:
            try:
                descend(node, names)
            except BlockError as error:
                problem(b"\0".join(names), str(error))


def _spot(found: Found) -> Spot:
    return found.next if found.section is None else Spot(found.car, found.section.offset)


def file_size(node: Node) -> int:
    """Bytes of a file, as its root node states them."""
    if node.unixfs.filesize is not None:
        return node.unixfs.filesize
    return len(node.unixfs.data or b"") + sum(node.unixfs.blocksizes)


def _behind_file(blocks: Blocks, entry: Entry, node: Node) -> Spot:
    """Where the block behind a file's blocks is, if its CAR is in depth-first order."""
    if not node.links or blocks.cars[node.next.car].indexed:
        return node.next
    near = node.next
    try:
        for leaf in leaves(blocks, entry.cid, entry.size, entry.spot):
            if leaf.data is None:
                near = Spot(leaf.car, leaf.offset + leaf.length)
    except BlockError:
        pass  # told when the file is restored
    return near


def leaves(
    blocks: Blocks,
    cid: bytes,
    size: int,
    near: Spot,
    start: int = 0,
    on_node: Callable[[bytes], None] | None = None,
) -> Iterator[Leaf]:
    """The ranges of a file, in their order, without gap or overlap; empty ranges don't come.

    Args:
        blocks: of the CARs.
        cid: binary CID of the file's root.
        size: bytes that the file must have.
        near: where the root's block is.
        start: of the first range: a shard's offset in its file, bytes.
        on_node: is told the CID of each node whose first link is a raw block.

    Raises:
        BlockError: a node isn't there, is no file's, or the sizes that it states differ from what is below.
    """
    at, end = start, start + size
    stack: list[tuple[Node, int, int]] = []  # node, next link, file offset behind the node
    todo: tuple[bytes, int | None] | None = (cid, size)
    path_bytes = 0
    while todo is not None or stack:
        if todo is None:
            node, link, stop = stack.pop()
            if link == len(node.links):
                if at != stop:
                    raise BlockError(f"a file's node states {stop} as its end, its blocks end at {at}")
                path_bytes -= node.size
                continue
            stack.append((node, link + 1, stop))
            sizes = node.unixfs.blocksizes
            todo = (node.links[link].cid, sizes[link])
        here, length = todo
        todo = None
        if parse_cid(here).codec == profile_cid.RAW:
            found = blocks.find(here, near)
            near = found.next
            if found.size != length or at + found.size > end:
                raise BlockError(f"a leaf of {found.size} bytes where its node states {length}")
            if found.size:
                data = blocks.read(found) if found.section is None else None
                offset = 0 if found.section is None else found.section.data_offset
                yield Leaf(at, found.size, here, found.car, offset, data)
                at += found.size
            continue
        node = read_node(blocks, here, near)
        near = node.next
        path_bytes += node.size
        if path_bytes > MAX_PATH_BYTES:
            raise BlockError(f"the nodes on the way have more than {MAX_PATH_BYTES} bytes")
        unixfs = node.unixfs
        if unixfs.type not in (Type.FILE, Type.RAW):
            raise BlockError(f"{cid_text(here)} stands in a file, but is a {unixfs.type.name.lower()}")
        if len(unixfs.blocksizes) != len(node.links):
            raise BlockError(f"{cid_text(here)} has {len(node.links)} links, {len(unixfs.blocksizes)} sizes")
        if file_size(node) != length or at + file_size(node) > end:
            raise BlockError(f"{cid_text(here)} has {file_size(node)} bytes where {length} are stated")
        if on_node and node.links and parse_cid(node.links[0].cid).codec == profile_cid.RAW:
            on_node(here)
        stop = at + file_size(node)
        own = unixfs.data or b""
        if len(own) > stop - at:
            raise BlockError(f"{cid_text(here)} holds more bytes than it states")
        if own:
            yield Leaf(at, len(own), here, near.car, 0, own)
            at += len(own)
        stack.append((node, 0, stop))
    if at != end:
        raise BlockError(f"{cid_text(cid)} has {at - start} bytes, {size} are stated")
