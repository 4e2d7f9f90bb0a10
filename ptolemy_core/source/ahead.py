"""One result that a thread makes before it is asked for."""

import queue
import threading
from collections.abc import Callable
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
        self._asked: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._made: queue.SimpleQueue[_T | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no result is waiting to be taken, or being made."""
        return self._path is None

    def begin(self, path: bytes) -> None:
        """Make the result for this path: the next one that is taken, and none is being made."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="list ahead", daemon=True)
            self._thread.start()
        self._path = path
        self._asked.put(path)

    def take(self, path: bytes) -> _T:
        """The result for this path, or what the call raised."""
        if path != self._path:
            return self._call(path)
        made = self._made.get()
        self._path = None
        if isinstance(made, BaseException):
            raise made
        return made

    def close(self) -> None:
        """End the thread, after its current call."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()

    def _work(self) -> None:
        while (path := self._asked.get()) is not None:
            try:
                self._made.put(self._call(path))
            except BaseException as error:  # raised again where the result is taken
                self._made.put(error)
