"""The CID of a whole file from the digests of its leaves, taken in order; no layout and no CAR is needed."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from ptolemy_core.dag import cid, dagpb, unixfs
from ptolemy_core.dag.profile import Profile


class _Node(NamedTuple):
    """A node or leaf: its CID, Tsize, and the bytes of the file below it."""

    cid: bytes
    tsize: int
    length: int


class FileCid:
    """Takes the digests of a file's leaves in order; keeps one node for each `profile.width` of them."""

    def __init__(self, size: int, profile: Profile) -> None:
        """A file of `size` bytes."""
        self._left = size
        self._profile = profile
        self._leaves: list[_Node] = []
        self._nodes: list[_Node] = []

    def update(self, digests: Sequence[bytes]) -> None:
        """Take the sha2-256 digests of the next leaves."""
        for digest in digests:
            length = min(self._left, self._profile.chunk)
            self._left -= length
            self._leaves.append(_Node(cid.of_digest(cid.RAW, digest), length, length))
            if len(self._leaves) == self._profile.width:
                self._nodes.append(_parent(self._leaves))
                self._leaves = []

    def finish(self) -> bytes:
        """The file's binary CID, once all leaves are taken."""
        if len(self._leaves) == 1 and not self._nodes:
            return self._leaves[0].cid
        level = self._nodes + ([_parent(self._leaves)] if self._leaves else [])
        width = self._profile.width
        while len(level) > 1:
            level = [_parent(level[k : k + width]) for k in range(0, len(level), width)]
        return level[0].cid


def _parent(children: Sequence[_Node]) -> _Node:
    lengths = [child.length for child in children]
    links = (dagpb.Link(b"", child.cid, child.tsize) for child in children)
    block = dagpb.encode_node(links, unixfs.file_message(lengths))
    tsize = sum(child.tsize for child in children) + len(block)
    return _Node(cid.of_digest(cid.DAG_PB, hashlib.sha256(block).digest()), tsize, sum(lengths))
