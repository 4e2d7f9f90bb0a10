"""The CID of a whole file from the digests of its leaves, taken in order; no layout and no CAR is needed."""

from collections.abc import Sequence

from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode, parent


class FileCid:
    """Takes the digests of a file's leaves in order; keeps one node for each `profile.width` of them."""

    def __init__(self, size: int, profile: Profile) -> None:
        """A file of `size` bytes."""
        self._left = size
        self._profile = profile
        self._leaves: list[FileNode] = []
        self._nodes: list[FileNode] = []

    def update(self, digests: Sequence[bytes]) -> None:
        """Take the sha2-256 digests of the next leaves."""
        for digest in digests:
            length = min(self._left, self._profile.chunk)
            self._left -= length
            self._leaves.append(FileNode(cid.of_digest(cid.RAW, digest), length, length))
            if len(self._leaves) == self._profile.width:
                self._nodes.append(_bare(self._leaves))
                self._leaves = []

    def finish(self) -> bytes:
        """The file's binary CID, once all leaves are taken."""
        if len(self._leaves) == 1 and not self._nodes:
            return self._leaves[0].cid
        level = self._nodes + ([_bare(self._leaves)] if self._leaves else [])
        width = self._profile.width
        while len(level) > 1:
            level = [_bare(level[k : k + width]) for k in range(0, len(level), width)]
        return level[0].cid


def _bare(children: Sequence[FileNode]) -> FileNode:
    """The node above these, without its bytes and what is below it: files may have millions of leaves."""
    return parent(children)._replace(block=b"", children=())
