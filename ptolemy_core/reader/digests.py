"""The digests of a whole file, computed while it is read: sha2-256 in one thread, the piece commitment in several.

Specification: FRC-0069 for the piece CIDs. The next chunks are read while earlier ones are hashed.
"""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.commp import MAX_PAYLOAD, PieceCommitment, piece_cid_v1, piece_cid_v2, subtree_roots
from ptolemy_core.kernel import Buffer
from ptolemy_core.reader.threads import HashThreads, JobQueue


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
        threads: that compute the piece commitment.
        progress: called with the bytes of each chunk: those since the last call.
        sha256: whether to compute sha2-256, in one more thread.
    """

    def __init__(
        self, threads: HashThreads, progress: Callable[[int], None] | None = None, *, sha256: bool = True
    ) -> None:
        self._progress = progress
        self._size = 0
        self._piece = PieceCommitment()
        self._roots: JobQueue[None, list[NDArray[np.uint8]]] = JobQueue(threads)
        self._sha256 = hashlib.sha256() if sha256 else None
        self._hashing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sha256")
        self._hashed: Future[None] | None = None

    def __enter__(self) -> Self:
        self._roots.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._roots.__exit__(kind, error, trace)
        self._hashing.shutdown()

    def update(self, chunk: Buffer) -> None:
        """Add the file's next chunk; waits until earlier ones are done."""
        self._size += len(chunk)
        if self._sha256 is not None:
            if self._hashed is not None:
                self._hashed.result()
            self._hashed = self._hashing.submit(self._sha256.update, chunk)
        if self._size <= MAX_PAYLOAD:
            while self._roots.is_due():
                self._put()
            self._roots.add(None, _roots, self._piece.take(chunk))
        if self._progress is not None:
            self._progress(len(chunk))

    def _put(self) -> None:
        for roots in self._roots.take()[1]:
            self._piece.put(roots)

    def finish(self) -> Totals:
        """The digests of all chunks."""
        if self._hashed is not None:
            self._hashed.result()
        sha256 = self._sha256.digest() if self._sha256 is not None else None
        if self._size > MAX_PAYLOAD:
            return Totals(self._size, sha256, None, None, None)
        while self._roots:
            self._put()
        root = self._piece.digest()
        return Totals(
            self._size,
            sha256,
            piece_cid_v1(root),
            piece_cid_v2(root, self._size),
            self._piece.piece_size,
        )


def _roots(subtrees: list[Buffer]) -> list[NDArray[np.uint8]]:
    return [subtree_roots(whole) for whole in subtrees]
