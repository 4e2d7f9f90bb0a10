"""The digests of a whole file, computed while it is read: sha2-256 and piece commitment, one thread each.

Specification: FRC-0069 for the piece CIDs. The next chunk is read while the previous one is hashed.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ptolemy_core.commp import MAX_PAYLOAD, PieceCommitment, piece_cid_v1, piece_cid_v2


@dataclass(frozen=True, slots=True)
class Totals:
    """Digests of a whole file; None for those not requested, and piece CIDs if no piece is large enough."""

    size: int
    sha256: bytes | None
    piece_cid_v1: bytes | None
    piece_cid_v2: bytes | None
    piece_size: int | None


class Digests:
    """Computes digests of the chunks passed to `update`; used as a context manager, which ends its threads.

    Args:
        progress: called with the bytes of each chunk: those since the last call.
        sha256: whether to compute sha2-256.
    """

    def __init__(self, progress: Callable[[int], None] | None = None, *, sha256: bool = True) -> None:
        self._progress = progress
        self._size = 0
        self._sha256 = hashlib.sha256() if sha256 else None
        self._piece = PieceCommitment()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="digest")
        self._running: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown()

    def update(self, chunk: bytes) -> None:
        """Add the file's next chunk; waits until the previous one is done."""
        self._wait()
        self._size += len(chunk)
        if self._sha256 is not None:
            self._running.append(self._threads.submit(self._sha256.update, chunk))
        if self._size <= MAX_PAYLOAD:
            self._running.append(self._threads.submit(self._piece.update, chunk))
        if self._progress is not None:
            self._progress(len(chunk))

    def _wait(self) -> None:
        for future in self._running:
            future.result()
        self._running = []

    def finish(self) -> Totals:
        """The digests of all chunks."""
        self._wait()
        sha256 = self._sha256.digest() if self._sha256 is not None else None
        if self._size > MAX_PAYLOAD:
            return Totals(self._size, sha256, None, None, None)
        root = self._piece.digest()
        return Totals(
            self._size,
            sha256,
            piece_cid_v1(root),
            piece_cid_v2(root, self._size),
            self._piece.piece_size,
        )
