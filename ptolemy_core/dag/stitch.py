"""Whole-file CIDs of split files, from the nodes of their shards: no data is read again.

A shard is a whole number of full file nodes (only a file's last one is less), so its lowest nodes are the
very nodes of the whole file's DAG.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from ptolemy_core.dag import balanced, cid, dagpb, unixfs
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile


class FileNode(NamedTuple):
    """A node of a file's DAG: CID, Tsize and bytes of the file below it.

    `block` is empty for a node, or leaf, that stands in a CAR with its shard; others have the nodes below them.
    """

    cid: bytes
    tsize: int
    length: int
    block: bytes = b""
    children: "tuple[FileNode, ...]" = ()


def file_cid(
    size: int, lowest: bytes, profile: Profile = UNIXFS_V1_2025, *, bare_leaf: bool = False
) -> bytes:
    """The binary CID of a file of more than one node; see `file_root`."""
    return file_root(size, lowest, profile, bare_leaf=bare_leaf).cid


def file_root(
    size: int, lowest: bytes, profile: Profile = UNIXFS_V1_2025, *, bare_leaf: bool = False
) -> FileNode:
    """The root of a file of more than one node, with the nodes that no shard holds below it.

    Args:
        size: of the file, bytes; more than `profile.unit`.
        lowest: digests of the nodes right above the leaves, in order.
        profile: of the DAG.
        bare_leaf: whether the last digest is that of a leaf: a last shard of one chunk or less, a file of its
            own, has no node.
    """
    count = -(-size // profile.unit)
    if len(lowest) != 32 * count or count < 2:
        raise ValueError(f"a file of {size} bytes has {count} lowest nodes, got {len(lowest) / 32:g} digests")
    level = []
    for k in range(count):
        length = min(profile.unit, size - k * profile.unit)
        digest = lowest[32 * k : 32 * k + 32]
        if bare_leaf and k == count - 1:
            # in the whole file a node stands above it
            level.append(parent([FileNode(cid.of_digest(cid.RAW, digest), length, length)]))
        else:
            tsize = _node_tsize(length, profile)
            level.append(FileNode(cid.of_digest(cid.DAG_PB, digest), tsize, length))
    while len(level) > 1:
        level = [parent(level[k : k + profile.width]) for k in range(0, len(level), profile.width)]
    return level[0]


def _node_tsize(length: int, profile: Profile) -> int:
    """Bytes of the blocks of a node right above the leaves, with `length` bytes below it."""
    if length > profile.chunk:
        return balanced.extent(length, profile).tsize
    return length + dagpb.link_size(0, length) + dagpb.data_size(len(unixfs.file_message([length])))


def parent(children: Sequence[FileNode]) -> FileNode:
    """The node above these nodes or leaves."""
    lengths = [child.length for child in children]
    block = dagpb.encode_node(
        (dagpb.Link(b"", child.cid, child.tsize) for child in children), unixfs.file_message(lengths)
    )
    digest = hashlib.sha256(block).digest()
    below = sum(child.tsize for child in children)
    return FileNode(
        cid.of_digest(cid.DAG_PB, digest), below + len(block), sum(lengths), block, tuple(children)
    )
