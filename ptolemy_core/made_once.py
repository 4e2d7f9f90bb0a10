"""Values that several threads want at once, and that one of them makes for all."""

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

_T = TypeVar("_T")


class MadeOnce:
    """Makes values by their keys, one thread at a time for each key.

    Attributes:
        lock: held while values are looked for and kept; whoever keeps them takes it for all that is done to them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._making: dict[Hashable, threading.Event] = {}

    def get(
        self, key: Hashable, find: Callable[[], _T | None], make: Callable[[], _T], keep: Callable[[_T], None]
    ) -> _T:
        """What `find` finds, or else what `make` makes.

        Args:
            key: of the value.
            find: looks for it, with the lock held.
            make: makes it, without; what it raises is raised here. Others wait for it, and make it if that fails.
            keep: keeps it, with the lock held.
        """
        while True:
            with self.lock:
                found = find()
                if found is not None:
                    return found
                done = self._making.get(key)
                if done is None:
                    done = self._making[key] = threading.Event()
                    break
            done.wait()  # if it failed there, the error is to be this thread's own
        try:
            made = make()
            with self.lock:
                keep(made)
            return made
        finally:
            with self.lock:
                del self._making[key]
            done.set()
