"""Iterators whose values a thread makes before they are asked for."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_END = object()


def prefetch(values: Iterator[_T], depth: int = 4) -> Generator[_T, None, None]:
    """The same values; a thread makes up to `depth` of them before they are asked for.

    Worth it where making a value waits or releases the GIL. What the iterator raises is raised here, after the values
    before it. When the caller stops early and closes this generator, the thread ends after its current value.
    """
    made: queue.Queue[object] = queue.Queue(depth)
    stop = threading.Event()
    failure: list[BaseException] = []

    def put(value: object) -> None:
        while not stop.is_set():
            try:
                made.put(value, timeout=0.1)
                return
            except queue.Full:
                pass

    def work() -> None:
        try:
            for value in values:
                put(value)
                if stop.is_set():
                    return
        except BaseException as error:  # raised again in the caller's thread
            failure.append(error)
        finally:
            put(_END)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (value := made.get()) is not _END:
            yield value  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        stop.set()
        thread.join()
