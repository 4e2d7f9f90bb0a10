"""Iterators that a thread runs ahead of whoever takes their values."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

_T = TypeVar("_T")
_END = object()


def ahead(values: Iterator[_T], depth: int = 4) -> Generator[_T, None, None]:
    """The same values; up to `depth` of them are made in a thread before they are asked for.

    It pays where making one waits or leaves the GIL. What the iterator raises is raised here, in its place; when
    the caller stops early (and closes this), so does the thread, after the value it is at.
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
        except BaseException as error:  # handed on, whatever it is
            failure.append(error)
        finally:
            put(_END)

    thread = threading.Thread(target=work, name="ahead", daemon=True)
    thread.start()
    try:
        while (value := made.get()) is not _END:
            yield value  # type: ignore[misc]
        if failure:
            raise failure[0]
    finally:
        stop.set()
        thread.join()
