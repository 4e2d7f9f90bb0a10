"""Leaves of CARs, read and hashed by threads, many at a time: neighbours in a CAR together.

Whose leaves they are is nothing to this module: each comes with an owner, and is handed back with it.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ptolemy_core.reader.hashes import cid_text, hash_fault, parse_cid
from ptolemy_core.reader.seekable import SeekableCar
from ptolemy_core.restore.blocks import Blocks
from ptolemy_core.restore.compare import BATCH_BYTES, BATCH_LEAVES, wrong_leaves
from ptolemy_core.restore.dag import Leaf
from ptolemy_core.source.buffers import Buffers

_GAP = 64 << 10
"""Bytes between two leaves in a CAR that are read with them rather than skipped."""
_AHEAD = 3
"""Batches that are under way at once."""

Owner = TypeVar("Owner")


@dataclass(eq=False)
class _Batch(Generic[Owner]):
    """Leaves of one CAR, each with its place in the buffer and its owner; `unread`: why some can't be read."""

    car: int
    base: int
    leaves: list[tuple[Leaf, int]] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    unread: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receiver(Generic[Owner]):
    """Who takes the leaves.

    Attributes:
        read: called in a thread with each right leaf and its bytes, valid only during the call.
        done: called with each leaf after that, in order: its bytes, valid only during the call, or what is wrong.
        failed: called with the owners of a batch of which `read` raised an OSError, in place of `done`.
        idle: called with an owner none of whose leaves is under way any more.
    """

    read: Callable[[Owner, Leaf, memoryview], None]
    done: Callable[[Owner, Leaf, memoryview | None, str], None]
    failed: Callable[[list[Owner], OSError], None]
    idle: Callable[[Owner], None]


class Batches(Generic[Owner]):
    """Reads leaves; of the calls, only `Receiver.read` comes from another thread.

    Args:
        blocks: of the CARs.
        pool: whose threads read and hash.
        buffers: of BATCH_BYTES and a leaf more.
        receiver: takes the leaves.
    """

    def __init__(self, blocks: Blocks, pool: Executor, buffers: Buffers, receiver: Receiver[Owner]) -> None:
        self._blocks = blocks
        self._pool = pool
        self._buffers = buffers
        self._receiver = receiver
        self._running: deque[tuple[_Batch[Owner], Future[tuple[memoryview, set[int]]]]] = deque()
        self._batch: _Batch[Owner] | None = None
        self._pending: Counter[int] = Counter()

    def add(self, leaf: Leaf, owner: Owner) -> None:
        """Read a leaf, some time."""
        batch = self._batch
        if batch is not None:
            last = batch.leaves[-1][0]
            behind = last.offset + last.length
            if (
                leaf.car != batch.car
                or not behind <= leaf.offset <= behind + _GAP
                or leaf.offset + leaf.length - batch.base > BATCH_BYTES
                or len(batch.leaves) == BATCH_LEAVES
            ):
                self._send()
        if self._batch is None:
            self._batch = _Batch(leaf.car, leaf.offset)
        self._batch.leaves.append((leaf, leaf.offset - self._batch.base))
        self._batch.owners.append(owner)
        self._pending[id(owner)] += 1

    def is_pending(self, owner: Owner) -> bool:
        """Whether a leaf of this owner isn't handed back yet."""
        return id(owner) in self._pending

    def flush(self) -> None:
        """Wait until all leaves are handed back."""
        self._send()
        while self._running:
            self._reap()

    def _send(self) -> None:
        batch, self._batch = self._batch, None
        if batch is None:
            return
        self._running.append((batch, self._pool.submit(self._work, batch)))
        while len(self._running) > _AHEAD:
            self._reap()

    def _work(self, batch: _Batch[Owner]) -> tuple[memoryview, set[int]]:
        """Read and hash a batch, and hand out what is right; runs in a thread."""
        last = batch.leaves[-1][0]
        size = last.offset + last.length - batch.base
        view = memoryview(self._buffers.take())
        car = self._blocks.cars[batch.car]
        try:
            if car.pread_into(view[:size], batch.base) < size:
                return view, set(range(len(batch.leaves)))
        except OSError:
            batch.unread.update(_read_each(car, batch.leaves, view))
        bad = {*wrong_leaves(view, batch.leaves), *batch.unread}
        while bad and car.distrust():
            batch.unread.clear()
            batch.unread.update(_read_each(car, batch.leaves, view))
            bad = {*wrong_leaves(view, batch.leaves), *batch.unread}
        for k, ((leaf, at), owner) in enumerate(zip(batch.leaves, batch.owners, strict=True)):
            if k not in bad:
                self._receiver.read(owner, leaf, view[at : at + leaf.length])
        return view, bad

    def _reap(self) -> None:
        """Take the oldest batch that was sent."""
        batch, future = self._running.popleft()
        try:
            view, bad = future.result()
        except OSError as error:
            self._receiver.failed(batch.owners, error)
        else:
            for k, ((leaf, at), owner) in enumerate(zip(batch.leaves, batch.owners, strict=True)):
                if k in bad:
                    self._receiver.done(owner, leaf, None, batch.unread.get(k) or self._wrong(leaf))
                else:
                    self._receiver.done(owner, leaf, view[at : at + leaf.length], "")
            buffer = view.obj
            view.release()
            self._buffers.give(buffer)  # type: ignore[arg-type]
        idle = []
        for owner in batch.owners:
            self._pending[id(owner)] -= 1
            if not self._pending[id(owner)]:
                del self._pending[id(owner)]
                idle.append(owner)
        for owner in idle:
            self._receiver.idle(owner)

    def _wrong(self, leaf: Leaf) -> str:
        place = f"{self._blocks.cars[leaf.car].name} at byte {leaf.offset}"
        return f"the block {cid_text(leaf.cid)} {hash_fault(parse_cid(leaf.cid))} ({place})"


def _read_each(car: SeekableCar, leaves: Sequence[tuple[Leaf, int]], view: memoryview) -> dict[int, str]:
    """Read leaves one by one to their places, and say why some can't be: others of the same batch can."""
    unread = {}
    for k, (leaf, at) in enumerate(leaves):
        try:
            car.pread_into(view[at : at + leaf.length], leaf.offset)
        except OSError as error:
            unread[k] = f"can't be read: {error.strerror}"
    return unread
