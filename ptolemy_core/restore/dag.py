"""UnixFS nodes of any writer, out of CARs: what an entry's root block says, and the byte ranges that make up a file.

Specification: https://specs.ipfs.tech/unixfs/ (files of any chunking and layout with raw or dag-pb leaves, symbolic
links), https://ipld.io/specs/codecs/dag-pb/spec/. Every node's hash is checked. Folders are followed in `walk`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.reader.dagpb import DagPbError, Type, UnixFs, decode_node, decode_unixfs
from ptolemy_core.reader.entry import Kind
from ptolemy_core.reader.hashes import IDENTITY, cid_text, is_profile_cid, parse_cid
from ptolemy_core.reader.links import Link
from ptolemy_core.restore.blocks import BlockError, Blocks, Found, Spot

MAX_PATH_BYTES = 64 << 20
"""Bytes that the nodes on one path may have together."""
_MAX_LEVELS = 64
"""Levels of nodes of a file: a balanced one has four, and many files could each lead to one long chain of nodes."""
_MANY_LEAVES = 1_000_000
_SMALL_LEAF = 1024
"""Leaves of a file, beyond a million, are this many bytes each or more on average."""


class Node(NamedTuple):
    """A node's links, its UnixFS message, the size of its block, where that is and where the next block begins."""

    links: tuple[Link, ...]
    unixfs: UnixFs
    size: int
    spot: Spot
    next: Spot


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
        BlockError: it isn't there, or isn't a UnixFS node.
    """
    if parse_cid(cid).codec != profile_cid.DAG_PB:
        raise BlockError(f"{cid_text(cid)} is neither raw nor dag-pb: not a UnixFS file or folder")
    found = blocks.find(cid, near)
    block = blocks.read(found)
    try:
        node = decode_node(block)
        unixfs = decode_unixfs(node.data or b"", strict=False)
    except DagPbError as error:
        raise BlockError(f"the block {cid_text(cid)} isn't a UnixFS node: {error}") from None
    return Node(tuple(node.links), unixfs, len(block), _spot(found), found.next)


class Seen(NamedTuple):
    """What a link of a folder, or a root, leads to; `spot` is where its block is, `next` where the next may be."""

    kind: Kind
    size: int
    spot: Spot
    next: Spot
    target: bytes | None = None
    node: Node | None = None


def look(blocks: Blocks, cid: bytes, near: Spot) -> Seen:
    """Read the root block of an entry; of a raw file only its size.

    Raises:
        BlockError: it is missing, or isn't a UnixFS file, folder or link.
    """
    if parse_cid(cid).codec == profile_cid.RAW:
        found = blocks.find(cid, near)
        return Seen("file", found.size, _spot(found), found.next)
    node = read_node(blocks, cid, near)
    kind = node.unixfs.type
    if kind == Type.SYMLINK:
        target = node.unixfs.data or b""
        return Seen("symlink", len(target), node.spot, node.next, target)
    if kind in (Type.FILE, Type.RAW):
        return Seen("file", file_size(node), node.spot, _behind_file(blocks, node), None, node)
    if kind in (Type.DIRECTORY, Type.HAMT):
        return Seen("directory", 0, node.spot, node.next, None, node)
    raise BlockError(f"{cid_text(cid)} is a UnixFS node of type {kind.name.lower()}")


def _spot(found: Found) -> Spot:
    return found.next if found.section is None else Spot(found.car, found.section.offset)


def file_size(node: Node) -> int:
    """Bytes of a file, as its root node states them."""
    if node.unixfs.filesize is not None:
        return node.unixfs.filesize
    return len(node.unixfs.data or b"") + sum(node.unixfs.blocksizes)


def _behind_file(blocks: Blocks, node: Node) -> Spot:
    """Where the block after a file's blocks is, if its CAR is in depth-first order.

    It follows the blocks only as long as each is right behind the one before: so it reads no block twice, however
    often the file's nodes repeat, and ends with the CAR.
    """
    near = node.next
    if not node.links or blocks.cars[near.car].indexed:
        return near
    todo = [iter(node.links)]
    sizes, path_bytes = [node.size], node.size
    while todo:
        link = next(todo[-1], None)
        if link is None:
            todo.pop()
            path_bytes -= sizes.pop()
            continue
        found = blocks.expected(link.cid, near)
        if found is None:
            if is_profile_cid(link.cid) or parse_cid(link.cid).hash != IDENTITY:
                return near
            continue
        near = found.next
        if parse_cid(link.cid).codec != profile_cid.DAG_PB:
            continue
        try:
            below = decode_node(blocks.read(found))
        except (BlockError, DagPbError):
            return near  # told when the file is restored
        todo.append(iter(below.links))
        sizes.append(found.size)
        path_bytes += found.size
        if path_bytes > MAX_PATH_BYTES:
            return near
    return near


def _leaf(blocks: Blocks, found: Found, at: int, length: int | None, end: int) -> Leaf:
    """A raw block at byte `at` of a file that ends at `end`, where `length` bytes are stated."""
    if found.size != length:
        raise BlockError(f"a leaf of {found.size} bytes where {length} are stated")
    if at + found.size > end:
        raise BlockError(f"a leaf of {found.size} bytes from byte {at}, in a file of {end} bytes")
    if found.section is None:
        return Leaf(at, found.size, found.cid, found.car, 0, blocks.read(found))
    return Leaf(at, found.size, found.cid, found.car, found.section.data_offset, None)


def _require_file_node(cid: bytes, node: Node, at: int, length: int | None, end: int) -> None:
    """See that a node is a file's, and has what is stated: `length` bytes from `at`, in a file that ends at `end`."""
    unixfs = node.unixfs
    name = cid_text(cid)
    if unixfs.type not in (Type.FILE, Type.RAW):
        raise BlockError(f"{name} is in a file, but is a {unixfs.type.name.lower()}")
    if len(unixfs.blocksizes) != len(node.links):
        raise BlockError(f"{name} has {len(node.links)} links, {len(unixfs.blocksizes)} sizes")
    if file_size(node) != length:
        raise BlockError(f"{name} has {file_size(node)} bytes where {length} are stated")
    if at + length > end:
        raise BlockError(f"{name} has {length} bytes from byte {at}, in a file of {end} bytes")
    if len(unixfs.data or b"") > length:
        raise BlockError(f"{name} holds more bytes than it states")


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
        BlockError: a node is missing, isn't of a file, or the sizes that it states differ from what is below.
    """
    at, end = start, start + size
    left = _MANY_LEAVES + size // _SMALL_LEAF
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
        left -= 1
        if left < 0:
            raise BlockError(f"{cid_text(cid)} has a million leaves of less than {_SMALL_LEAF} bytes")
        if parse_cid(here).codec == profile_cid.RAW:
            found = blocks.leaf(here, near, length)
            near = found.next
            leaf = _leaf(blocks, found, at, length, end)
            if leaf.length:
                yield leaf
                at += leaf.length
            continue
        if not length and stack:
            continue  # nothing of the file is below: and it may be a tree that repeats itself without end
        node = read_node(blocks, here, near)
        near = node.next
        path_bytes += node.size
        if len(stack) >= _MAX_LEVELS:
            raise BlockError(f"{cid_text(cid)} is a file of more than {_MAX_LEVELS} levels of nodes")
        if path_bytes > MAX_PATH_BYTES:
            raise BlockError(f"the nodes on the way have more than {MAX_PATH_BYTES} bytes")
        _require_file_node(here, node, at, length, end)
        if on_node and node.links and parse_cid(node.links[0].cid).codec == profile_cid.RAW:
            on_node(here)
        stop = at + file_size(node)
        own = node.unixfs.data or b""
        if own:
            yield Leaf(at, len(own), here, near.car, 0, own)
            at += len(own)
        stack.append((node, 0, stop))
    if at != end:
        raise BlockError(f"{cid_text(cid)} has {at - start} bytes, {size} are stated")
