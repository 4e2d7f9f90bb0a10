"""One result that a thread makes before it is asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Ahead(Generic[_T]):
    """Calls a function for a path before its result is asked for: for one path at a time, in a thread.

    Worth it where the call waits, or releases the GIL.
    """

    def __init__(self, call: Callable[[bytes], _T]) -> None:
        """Nothing is begun; the thread is started with the first path."""
        self._call = call
        self._path: bytes | None = None
        self._made: Future[_T] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="list ahead")

    @property
    def is_idle(self) -> bool:
        """Whether no result is waiting to be taken, or being made."""
        return self._made is None

    def begin(self, path: bytes) -> None:
        """Make the result for this path: the next one that is taken, and none is being made."""
        self._path = path
        self._made = self._thread.submit(self._call, path)

    def take(self, path: bytes) -> _T:
        """The result for this path, or what the call raised."""
        made = self._made
        if made is None or path != self._path:
            return self._call(path)
        self._made = None
        return made.result()

    def close(self) -> None:
        """End the thread, after its current call."""
        self._thread.shutdown()
