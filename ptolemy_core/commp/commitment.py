"""A piece commitment of a stream of bytes, used like a hash of hashlib.

Specification: https://spec.filecoin.io/systems/filecoin_files/piece/ and FRC-0069.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.commp.sizes import MAX_PAYLOAD, height, piece_size
from ptolemy_core.commp.tree import fold, payload_root
from ptolemy_core.kernel import Buffer, node

SUBTREE: Final = 127 << 13
"""Payload bytes hashed at a time: 1 MiB of tree leaves."""

_SUBTREE_HEIGHT = height(128 << 13)


def subtree_roots(whole: Buffer) -> NDArray[np.uint8]:
    """The roots of complete subtrees that `PieceCommitment.take` gave."""
    return kernel.subtree_roots(whole, SUBTREE)


class PieceCommitment:
    """The piece commitment ("CommP") of all data passed to `update`, however it was split.

    Memory: the bytes of one subtree and one root per level of the tree.

    >>> PieceCommitment(b"hello world").hexdigest()[:16]
    'ee5c07b4ea161e8d'
    """

    __slots__ = ("_pending", "_roots", "_size")

    def __init__(self, data: Buffer = b"") -> None:
        """Start with `data`, as if passed to `update`."""
        self._size = 0
        self._pending = bytearray()
        # roots of the complete subtrees so far, as (height, root): like a binary counter, highest first
        self._roots: list[tuple[int, bytes]] = []
        self.update(data)

    @property
    def size(self) -> int:
        """Payload bytes so far, before any padding."""
        return self._size

    @property
    def piece_size(self) -> int:
        """Padded size of the piece for the data so far, in bytes."""
        return piece_size(self._size)

    def update(self, data: Buffer) -> None:
        """Append bytes.

        Raises:
            ValueError: the payload would exceed MAX_PAYLOAD; nothing was added.
        """
        for whole in self.take(data):
            self.put(subtree_roots(whole))

    def take(self, data: Buffer) -> list[Buffer]:
        """Append bytes without hashing them: for callers that hash in threads of their own.

        Returns:
            complete subtrees, whose `subtree_roots` must be `put` in the order they were taken.

        Raises:
            ValueError: as `update`.
        """
        view = kernel.as_bytes(data).data
        if self._size + len(view) > MAX_PAYLOAD:
            raise ValueError(
                f"a piece holds at most {MAX_PAYLOAD} bytes of payload, got {self._size + len(view)}"
            )
        self._size += len(view)
        return list(self._whole_subtrees(view))

    def put(self, roots: NDArray[np.uint8]) -> None:
        """Add the roots of the next subtrees that were taken."""
        for root in roots:
            self._push(root.tobytes())

    def digest(self) -> bytes:
        """The 32-byte root of the zero-padded piece. More data may follow."""
        top = height(self.piece_size)
        if not self._roots:
            return payload_root(self._pending)
        tail = self._pending
        roots = list(self._roots)
        if tail:
            roots.append((height(piece_size(len(tail))), payload_root(tail)))
        at, root = roots.pop()
        while roots:
            left_at, left = roots.pop()
            root = node(left, fold([root], at, left_at))
            at = left_at + 1
        return fold([root], at, top)

    def hexdigest(self) -> str:
        """`digest` in hexadecimal."""
        return self.digest().hex()

    def copy(self) -> "PieceCommitment":
        """An independent copy, with the same data so far."""
        twin = PieceCommitment()
        twin._size = self._size
        twin._pending = bytearray(self._pending)
        twin._roots = list(self._roots)
        return twin

    def _whole_subtrees(self, view: memoryview) -> Iterator[Buffer]:
        """Complete subtrees from the pending bytes and `view`; the rest becomes the pending bytes."""
        if self._pending:
            missing = SUBTREE - len(self._pending)
            self._pending += view[:missing]
            view = view[missing:]
            if len(self._pending) < SUBTREE:
                return
            yield self._pending
            self._pending = bytearray()
        whole = len(view) // SUBTREE * SUBTREE
        if whole:
            yield view[:whole]
        self._pending += view[whole:]

    def _push(self, root: bytes) -> None:
        """Add the root of the next complete subtree, and merge pairs of equal height."""
        at = _SUBTREE_HEIGHT
        while self._roots and self._roots[-1][0] == at:
            root = node(self._roots.pop()[1], root)
            at += 1
        self._roots.append((at, root))
