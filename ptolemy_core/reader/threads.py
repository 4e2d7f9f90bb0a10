"""Threads that hash what a reader reads, shared by all CARs that are read at once.

One thread per CAR reads, parses and checks the structure; what costs time, the hashes, runs here. Results are taken
in the order of the bytes, so findings don't depend on the number of threads.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Generic, NamedTuple, Self, TypeVar

from ptolemy_core.reader.forward import ChunkBuffers

_Kept = TypeVar("_Kept")
_Result = TypeVar("_Result")

READ_AHEAD = 2
"""Jobs that wait for a thread, at most, beyond one for each queue and one for each thread."""


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class HashThreads:
    """A number of threads, and how many jobs may hold memory at once; used as a context manager, which ends them.

    Memory: of what is read, at most `count` + READ_AHEAD chunks in all, one more for each queue, and one that is read
    ahead for each file.

    Args:
        count: of threads; by default as many as there are cores.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count or usable_cores()
        self.pool = ThreadPoolExecutor(self.count, thread_name_prefix="hash")
        self.slots = threading.Semaphore(self.count + READ_AHEAD)
        self.chunks = ChunkBuffers()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(cancel_futures=True)


def shared(threads: HashThreads | None) -> AbstractContextManager[HashThreads]:
    """These threads, which stay; new ones for this use alone if there are none."""
    return HashThreads() if threads is None else nullcontext(threads)


class _Job(NamedTuple, Generic[_Kept, _Result]):
    kept: _Kept
    future: Future[_Result]
    slot: bool


class JobQueue(Generic[_Kept, _Result]):
    """Jobs of one reader, whose results are taken in order; used as a context manager, which waits for them.

    A queue may always have one job, so readers never wait for each other.
    """

    def __init__(self, threads: HashThreads) -> None:
        self._threads = threads
        self._jobs: deque[_Job[_Kept, _Result]] = deque()
        self._slot = False

    def __len__(self) -> int:
        return len(self._jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up the jobs whose results weren't taken."""
        while self._jobs:
            job = self._jobs.popleft()
            if not job.future.cancel():
                job.future.exception()
            self._free(job.slot)
        self._free(self._slot)
        self._slot = False

    def is_due(self) -> bool:
        """Whether the oldest result should be taken before the next job is added: it is there, or no slot is."""
        if not self._jobs:
            return False
        if not self._slot:
            self._slot = self._threads.slots.acquire(blocking=False)
        return not self._slot or self._jobs[0].future.done()

    def add(self, kept: _Kept, work: Callable[..., _Result], *arguments: object) -> None:
        """Start a job; `kept` is given back with its result."""
        future = self._threads.pool.submit(work, *arguments)
        self._jobs.append(_Job(kept, future, self._slot))
        self._slot = False

    def take(self) -> tuple[_Kept, _Result]:
        """The oldest job's result; waits for it, and raises what it raised."""
        job = self._jobs.popleft()
        try:
            return job.kept, job.future.result()
        finally:
            self._free(job.slot)

    def _free(self, slot: bool) -> None:
        if slot:
            self._threads.slots.release()
