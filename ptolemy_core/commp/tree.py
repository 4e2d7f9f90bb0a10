"""The binary tree over a padded piece: zero subtrees, folding, and assembly out of order.

A height counts levels above the 32-byte leaves, as in FRC-0069: 127 bytes of payload have height 2.
"""

import functools
from collections.abc import Sequence

import numpy as np

from ptolemy_core import kernel
from ptolemy_core.commp.sizes import capacity, height, piece_size
from ptolemy_core.kernel import Buffer, node


@functools.cache
def zero_root(levels: int) -> bytes:
    """The root of a subtree of height `levels` that holds zeros only; height 0 is a leaf."""
    return bytes(32) if levels == 0 else node(zero_root(levels - 1), zero_root(levels - 1))


def fold(roots: Sequence[bytes], at: int, top: int) -> bytes:
    """The root at height `top` over the `roots` of height `at` (at least one), zeros behind them."""
    level = list(roots)
    for levels in range(at, top):
        if len(level) % 2:
            level.append(zero_root(levels))
        level = [node(left, right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def payload_root(payload: Buffer) -> bytes:
    """The root of the smallest piece that holds `payload`, zeros behind it.

    Raises:
        ValueError: as `piece_size`.
    """
    data = kernel.as_bytes(payload)
    whole = capacity(piece_size(data.size))
    if data.size == whole:
        return kernel.subtree_root(data)
    padded = np.zeros(whole, dtype=np.uint8)
    padded[: data.size] = data
    return kernel.subtree_root(padded)


class PieceTree:
    """A piece's root from the roots of its subtrees, which may come in any order.

    A payload that needs a piece smaller than a subtree has one subtree, and that is the whole piece:
    its root is the piece's own, not lifted to the subtree's height. `subtree_root_of` knows this.
    Different subtrees may be set from different threads.

    Attributes:
        payload_size: bytes of payload.
        subtree_bytes: payload bytes under each root but the last: 127 * 2**k.
        piece_size: padded bytes of the piece.
        count: subtrees that hold payload; at least 1.
    """

    __slots__ = ("_roots", "count", "payload_size", "piece_size", "subtree_bytes")

    def __init__(self, payload_size: int, subtree_bytes: int) -> None:
        """Start with no root set.

        Raises:
            ValueError: the sizes aren't a piece's and a subtree's.
        """
        kernel.check_subtree_bytes(subtree_bytes)
        self.piece_size = piece_size(payload_size)
        self.payload_size = payload_size
        self.subtree_bytes = subtree_bytes
        self.count = max(1, -(-payload_size // subtree_bytes))
        self._roots: list[bytes | None] = [None] * self.count

    @property
    def subtree_height(self) -> int:
        """The height of the roots to set: a subtree's, or the piece's if that is less."""
        return height(min(self.subtree_bytes // 127 * 128, self.piece_size))

    def payload_range(self, index: int) -> tuple[int, int]:
        """Start and end, in payload bytes, of what subtree `index` covers.

        Raises:
            IndexError: there is no such subtree.
        """
        self._check(index)
        start = index * self.subtree_bytes
        return start, min(start + self.subtree_bytes, self.payload_size)

    def subtree_root_of(self, payload: Buffer) -> bytes:
        """The root to set for a subtree with this payload; less than a whole subtree is zero-padded.

        Raises:
            ValueError: it is more than one subtree's payload, or more than the piece's.
        """
        size = memoryview(payload).nbytes
        if size > min(self.subtree_bytes, self.payload_size):
            raise ValueError(
                f"{size} bytes are more than a subtree of {self.subtree_bytes} in a piece with "
                f"{self.payload_size} bytes of payload"
            )
        return fold([payload_root(payload)], height(piece_size(size)), self.subtree_height)

    def set(self, index: int, root: bytes) -> None:
        """Give the 32-byte root of subtree `index`, counted from 0; again gives the newer one.

        Raises:
            IndexError: there is no such subtree.
            ValueError: the root isn't 32 bytes.
        """
        self._check(index)
        if len(root) != kernel.DIGEST:
            raise ValueError(f"a subtree's root is {kernel.DIGEST} bytes, got {len(root)}")
        self._roots[index] = bytes(root)

    def missing(self) -> list[int]:
        """The numbers of the subtrees that aren't set yet, in order."""
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
