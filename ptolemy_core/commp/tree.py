"""The binary Merkle tree of a padded piece: zero subtrees, folding, and assembly in any order.

Heights are levels above the 32-byte leaves, as in FRC-0069: 127 bytes of payload have height 2.
"""

import functools
from collections.abc import Sequence

import numpy as np

from ptolemy_core import kernel
from ptolemy_core.commp.sizes import capacity, height, piece_size
from ptolemy_core.kernel import Buffer, node


@functools.cache
def zero_root(levels: int) -> bytes:
    """The root of an all-zero subtree of height `levels`; height 0 is a leaf."""
    return bytes(32) if levels == 0 else node(zero_root(levels - 1), zero_root(levels - 1))


def fold(roots: Sequence[bytes], at: int, top: int) -> bytes:
    """The root at height `top` over `roots` of height `at` (at least one), padded with zeros."""
    level = list(roots)
    for levels in range(at, top):
        if len(level) % 2:
            level.append(zero_root(levels))
        level = [node(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def payload_root(payload: Buffer) -> bytes:
    """The root of the smallest piece that holds `payload`, zero-padded.

    Raises:
        ValueError: see `piece_size`.
    """
    data = kernel.as_bytes(payload)
    whole = capacity(piece_size(data.size))
    if data.size == whole:
        return kernel.subtree_root(data)
    padded = np.zeros(whole, dtype=np.uint8)
    padded[: data.size] = data
    return kernel.subtree_root(padded)


class PieceTree:
    """A piece's root from the roots of its subtrees, set in any order.

    If the piece is smaller than a subtree, it has a single subtree whose root is the piece's root, at the piece's
    own height; `subtree_root_of` accounts for this. Different threads may set different subtrees.

    Attributes:
        payload_size: bytes of payload.
        subtree_bytes: payload bytes under each root except the last: 127 * 2**k.
        piece_size: padded size of the piece, in bytes.
        count: number of subtrees with payload; at least 1.
    """

    __slots__ = ("_roots", "count", "payload_size", "piece_size", "subtree_bytes")

    def __init__(self, payload_size: int, subtree_bytes: int) -> None:
        """Start with no root set.

        Raises:
            ValueError: a size is not valid for a piece or a subtree.
        """
        kernel.check_subtree_bytes(subtree_bytes)
        self.piece_size = piece_size(payload_size)
        self.payload_size = payload_size
        self.subtree_bytes = subtree_bytes
        self.count = max(1, -(-payload_size // subtree_bytes))
        self._roots: list[bytes | None] = [None] * self.count

    @property
    def subtree_height(self) -> int:
        """The height of the roots to set: a subtree's, or the piece's if that is lower."""
        return height(min(self.subtree_bytes // 127 * 128, self.piece_size))

    def payload_range(self, index: int) -> tuple[int, int]:
        """Start and end of the payload range of subtree `index`, in bytes.

        Raises:
            IndexError: there is no such subtree.
        """
        self._check(index)
        start = index * self.subtree_bytes
        return start, min(start + self.subtree_bytes, self.payload_size)

    def subtree_root_of(self, payload: Buffer) -> bytes:
        """The root to set for a subtree with this payload, zero-padded to a whole subtree.

        Raises:
            ValueError: it is longer than one subtree's payload, or the piece's.
        """
        size = memoryview(payload).nbytes
        if size > min(self.subtree_bytes, self.payload_size):
            raise ValueError(
                f"{size} bytes are more than a subtree of {self.subtree_bytes} in a piece with "
                f"{self.payload_size} bytes of payload"
            )
        return fold([payload_root(payload)], height(piece_size(size)), self.subtree_height)

    def set(self, index: int, root: bytes) -> None:
        """Set the 32-byte root of subtree `index`, from 0; a second call replaces the first.

        Raises:
            IndexError: there is no such subtree.
            ValueError: the root isn't 32 bytes.
        """
        self._check(index)
        if len(root) != kernel.DIGEST:
            raise ValueError(f"a subtree's root is {kernel.DIGEST} bytes, got {len(root)}")
        self._roots[index] = bytes(root)

    def missing(self) -> list[int]:
        """The indexes of the subtrees that aren't set yet, in order."""
        return [index for index, root in enumerate(self._roots) if root is None]

    def digest(self) -> bytes:
        """The piece's 32-byte root.

        Raises:
            ValueError: a subtree isn't set.
        """
        roots = [root for root in self._roots if root is not None]
        if len(roots) < self.count:
            missing = self.missing()
            raise ValueError(
                f"{len(missing)} of {self.count} subtrees are not set, the first is {missing[0]}"
            )
        return fold(roots, self.subtree_height, height(self.piece_size))

    def _check(self, index: int) -> None:
        if not 0 <= index < self.count:
            raise IndexError(f"subtree {index} of {self.count}")
