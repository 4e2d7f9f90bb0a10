"""Whole-file CIDs of split files, from the nodes of their shards, without reading data again.

A shard is a whole number of full file nodes (except a file's last one), so its lowest nodes are also nodes of the
whole file's DAG.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from ptolemy_core.dag import balanced, cid, dagpb, unixfs
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile


class FileNode(NamedTuple):
    """A node of a file's DAG: CID, Tsize and the bytes of file data in its subtree.

    `block` and `children` are empty for a node or leaf that is already in a CAR with its shard.
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
    """The root of a file of more than one node, with those of its descendants that are in no shard.

    Args:
        size: bytes of the file; more than `profile.size_unit`.
        lowest: digests of the nodes directly above the leaves, in order.
        profile: of the DAG.
        bare_leaf: whether the last digest is a leaf's: a last shard of at most one chunk is a bare leaf in its CAR.
    """
    count = -(-size // profile.size_unit)
    if len(lowest) != 32 * count or count < 2:
        raise ValueError(f"a file of {size} bytes has {count} lowest nodes, got {len(lowest) / 32:g} digests")
    level = []
    for k in range(count):
        length = min(profile.size_unit, size - k * profile.size_unit)
        digest = lowest[32 * k : 32 * k + 32]
        if bare_leaf and k == count - 1:
            # in the whole file's DAG it has a node of its own
            level.append(parent([FileNode(cid.of_digest(cid.RAW, digest), length, length)]))
        else:
            tsize = _node_tsize(length, profile)
            level.append(FileNode(cid.of_digest(cid.DAG_PB, digest), tsize, length))
    while len(level) > 1:
        level = [parent(level[k : k + profile.width]) for k in range(0, len(level), profile.width)]
    return level[0]


def _node_tsize(length: int, profile: Profile) -> int:
    """Tsize of a node directly above the leaves, with `length` bytes of file data."""
    if length > profile.chunk:
        return balanced.extent(length, profile).tsize
    return length + dagpb.link_size(0, length) + dagpb.data_size(len(unixfs.file_message([length])))


def parent(children: Sequence[FileNode]) -> FileNode:
    """The parent of these nodes or leaves."""
    lengths = [child.length for child in children]
    block = dagpb.encode_node(
        (dagpb.Link(b"", child.cid, child.tsize) for child in children), unixfs.file_message(lengths)
    )
    digest = hashlib.sha256(block).digest()
    tsize = sum(child.tsize for child in children) + len(block)
    return FileNode(cid.of_digest(cid.DAG_PB, digest), tsize, sum(lengths), block, tuple(children))
