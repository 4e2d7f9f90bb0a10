"""The CID of a stream of unknown size, such as a pipe.

Specification: IPIP-499, profile unixfs-v1-2025: the same CID as a file with these bytes has. Memory: the links of one
node per level.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from ptolemy_core.dag import cid, dagpb, unixfs
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile


class _Child(NamedTuple):
    cid: bytes
    tsize: int
    length: int


def stream_cid(read: Callable[[int], bytes], profile: Profile = UNIXFS_V1_2025) -> tuple[bytes, int]:
    """The binary CID of all bytes of a stream, and their number.

    Args:
        read: takes a number of bytes and returns at most that many; empty at the end.
        profile: of the DAG.
    """
    levels: list[list[_Child]] = [[]]
    size = 0
    while chunk := _read_fully(read, profile.chunk):
        size += len(chunk)
        leaf = cid.of_digest(cid.RAW, hashlib.sha256(chunk).digest())
        _add(levels, 0, _Child(leaf, len(chunk), len(chunk)), profile.width)
        if len(chunk) < profile.chunk:
            break
    if not size:
        return cid.of_digest(cid.RAW, hashlib.sha256(b"").digest()), 0
    at = 0
    while at < len(levels) - 1 or len(levels[at]) > 1:
        # a level that isn't full gets a node too, even for a single leaf
        if levels[at]:
            children, levels[at] = levels[at], []
            _add(levels, at + 1, _parent(children), profile.width)
        at += 1
    return levels[at][0].cid, size


def _read_fully(read: Callable[[int], bytes], size: int) -> bytes:
    """The next `size` bytes, or fewer at the end of the stream."""
    parts = []
    while size and (part := read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _add(levels: list[list[_Child]], at: int, child: _Child, width: int) -> None:
    while True:
        if at == len(levels):
            levels.append([])
        levels[at].append(child)
        if len(levels[at]) < width:
            return
        children, levels[at] = levels[at], []
        child, at = _parent(children), at + 1


def _parent(children: list[_Child]) -> _Child:
    lengths = [child.length for child in children]
    links = (dagpb.Link(b"", child.cid, child.tsize) for child in children)
    block = dagpb.encode_node(links, unixfs.file_message(lengths))
    tsize = sum(child.tsize for child in children) + len(block)
    return _Child(cid.of_digest(cid.DAG_PB, hashlib.sha256(block).digest()), tsize, sum(lengths))
