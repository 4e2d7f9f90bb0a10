"""The CID of a whole file from the digests of its leaves in order, without a layout or a CAR."""

from collections.abc import Sequence

from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode, parent


class FileCid:
    """Computes a file's CID from its leaves' digests, in order. Keeps one node per `profile.width` leaves."""

    def __init__(self, size: int, profile: Profile) -> None:
        """Start a file of `size` bytes."""
        self._left = size
        self._profile = profile
        self._leaves: list[FileNode] = []
        self._nodes: list[FileNode] = []

    def update(self, digests: Sequence[bytes]) -> None:
        """Add the sha2-256 digests of the next leaves."""
        for digest in digests:
            length = min(self._left, self._profile.chunk)
            self._left -= length
            self._leaves.append(FileNode(cid.of_digest(cid.RAW, digest), length, length))
            if len(self._leaves) == self._profile.width:
                self._nodes.append(_bare(self._leaves))
                self._leaves = []

    def finish(self) -> bytes:
        """The file's binary CID, once all leaves are added."""
        if len(self._leaves) == 1 and not self._nodes:
            return self._leaves[0].cid
        level = self._nodes + ([_bare(self._leaves)] if self._leaves else [])
        width = self._profile.width
        while len(level) > 1:
            level = [_bare(level[k : k + width]) for k in range(0, len(level), width)]
        return level[0].cid


def _bare(children: Sequence[FileNode]) -> FileNode:
    """The parent node of these, without its block and children: files may have millions of leaves."""
    return parent(children)._replace(block=b"", children=())
