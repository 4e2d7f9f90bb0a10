"""Strict decoders of dag-pb nodes and the UnixFS messages in them: only the canonical encoding is accepted.

Specification: https://ipld.io/specs/codecs/dag-pb/spec/, https://specs.ipfs.tech/unixfs/
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ptolemy_core.dag import varint
from ptolemy_core.kernel.blocks import dag_links
from ptolemy_core.reader.hashes import parse_cid
from ptolemy_core.reader.links import Link, LinkRun

_HASH, _NAME, _TSIZE = 0x0A, 0x12, 0x18
_DATA, _LINK = 0x0A, 0x12
_PROFILE_HASH = (b"\x0a\x24\x01\x55\x12\x20", b"\x0a\x24\x01\x70\x12\x20")
_UNIXFS_WIRES = {1: 0, 2: 2, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0, 8: 2}
_BLOCKSIZES = 4
_MANY = 256
"""Bytes of a node from which on its links are read many at once."""


class DagPbError(ValueError):
    """A block isn't a canonical dag-pb node, or its Data isn't a UnixFS message: the reason and the position."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(f"{reason} (byte {position} of the block)")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Node:
    """A dag-pb node; `data` is None if the field is absent."""

    links: Sequence[Link]
    data: bytes | None


class Type(IntEnum):
    """The types of UnixFS nodes, by their number."""

    RAW = 0
    DIRECTORY = 1
    FILE = 2
    METADATA = 3
    SYMLINK = 4
    HAMT = 5


@dataclass(frozen=True, slots=True)
class UnixFs:
    """A UnixFS Data message; absent fields are None (or empty).

    Attributes:
        type: the type of the node.
        data: file content, link target or HAMT bitfield.
        filesize: bytes of file data in the node's subtree.
        blocksizes: bytes of file data in each link's subtree.
        hash_type: multicodec of a HAMT's hash.
        fanout: slots of a HAMT node.
        attributes: numbers of other fields that are present: 7 for mode, 8 for mtime.
    """

    type: Type
    data: bytes | None = None
    filesize: int | None = None
    blocksizes: tuple[int, ...] = ()
    hash_type: int | None = None
    fanout: int | None = None
    attributes: tuple[int, ...] = ()


def _number(block: bytes, at: int, end: int) -> tuple[int, int]:
    if at < end and block[at] < 0x80:
        return block[at], at + 1
    try:
        value, after = varint.decode(block, at)
    except ValueError as error:
        raise DagPbError(str(error), at) from None
    if after > end:
        raise DagPbError("a varint extends beyond the end of its message", at)
    return value, after


def _span(block: bytes, at: int, end: int) -> tuple[int, int]:
    """Start and end of the length-delimited value at `at`."""
    size, start = _number(block, at, end)
    if size > end - start:
        raise DagPbError(f"a field of {size} bytes is cut off after {end - start}", at)
    return start, start + size


def _link(block: bytes, at: int, end: int) -> Link:
    begin = at
    if block[at : at + 6] in _PROFILE_HASH and at + 38 <= end:
        cid, at = block[at + 2 : at + 38], at + 38
    elif at < end and block[at] == _HASH:
        start, at = _span(block, at + 1, end)
        try:
            after = parse_cid(block, start, at).end
        except ValueError as error:
            raise DagPbError(f"a link's Hash isn't a CID: {error}", start) from None
        if after != at:
            raise DagPbError("a link's Hash has bytes after its CID", after)
        cid = block[start:at]
    else:
        raise DagPbError("a link whose first field isn't Hash", begin)
    name: bytes | None = None
    tsize: int | None = None
    if at < end and block[at] == _NAME:
        start, at = _span(block, at + 1, end)
        name = block[start:at]
    if at < end and block[at] == _TSIZE:
        tsize, at = _number(block, at + 1, end)
    if at != end:
        raise DagPbError("a link with an unknown, repeated or misplaced field", at)
    return Link(cid, name, tsize)


def decode_node(block: bytes) -> Node:
    """Decode a dag-pb block.

    Args:
        block: the whole block.

    Raises:
        DagPbError: it isn't canonical. Canonical: links first, then Data; in a link Hash, Name, Tsize in this order,
            each at most once; minimal varints; nothing else.
    """
    usual = dag_links(block) if len(block) >= _MANY else None
    links: list[Link] | LinkRun = LinkRun(usual) if usual else []
    at, end = usual.end if usual else 0, len(block)
    if at < end and block[at] == _LINK:
        links = list(links)
        while at < end and block[at] == _LINK:
            start, at = _span(block, at + 1, end)
            links.append(_link(block, start, at))
    data: bytes | None = None
    if at < end and block[at] == _DATA:
        start, at = _span(block, at + 1, end)
        data = block[start:at]
    if at != end:
        what = {_DATA: "Data twice", _LINK: "a link after Data"}.get(block[at], "an unknown field")
        raise DagPbError(what, at)
    return Node(links if isinstance(links, LinkRun) else tuple(links), data)


def decode_unixfs(message: bytes, *, strict: bool = True) -> UnixFs:
    """Decode a UnixFS Data message.

    Args:
        message: a node's Data.
        strict: accept only the canonical encoding; otherwise also what other protobuf readers accept: fields in any
            order, and packed blocksizes.

    Raises:
        DagPbError: it has an unknown type or field, or varints that aren't minimal; if strict, also repeated fields,
            fields out of ascending order, or packed blocksizes.
    """
    numbers: dict[int, int] = {}
    data: bytes | None = None
    blocksizes: list[int] = []
    attributes: list[int] = []
    at, end, last = 0, len(message), 0
    while at < end:
        begin = at
        tag, at = _number(message, at, end)
        field, wire = tag >> 3, tag & 7
        if field == _BLOCKSIZES and wire == 2 and not strict:
            at, stop = _span(message, at, end)
            while at < stop:
                value, at = _number(message, at, stop)
                blocksizes.append(value)
            continue
        if _UNIXFS_WIRES.get(field) != wire:
            raise DagPbError(f"UnixFS field {field} with wire type {wire}", begin)
        if strict and (field < last or (field == last and field != _BLOCKSIZES)):
            raise DagPbError(f"UnixFS field {field} after field {last}", begin)
        last = field
        if wire == 0:
            value, at = _number(message, at, end)
            if field == _BLOCKSIZES:
                blocksizes.append(value)
            else:
                numbers[field] = value
        else:
            start, at = _span(message, at, end)
            if field == 2:
                data = message[start:at]
        if field > 6:
            attributes.append(field)
    try:
        kind = Type(numbers[1])
    except (KeyError, ValueError):
        raise DagPbError(f"UnixFS type {numbers.get(1)}", 0) from None
    return UnixFs(
        kind, data, numbers.get(3), tuple(blocksizes), numbers.get(5), numbers.get(6), tuple(attributes)
    )
