"""Memory, while millions of rows pass: Python's garbage collector, and what is freed but not given back.

The threshold belongs to the whole process, so the engine never changes it: a program that owns its process may.
"""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_OBJECTS = 50_000
"""New objects before a collection; with Python's 700, a scan without news takes half as long again."""


@contextmanager
def imports_kept() -> Iterator[None]:
    """Import in this block: nothing of it is collected then or later, not even when the process ends.

    For programs that own their process. A tenth of the time of imports is collections that find nothing, and taking
    all modules apart at the end of a short process takes twice as long.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def what_is_here_kept() -> Iterator[None]:
    """In this block, collections look at nothing that this process has now: for a server, while it serves.

    A collection of all that a server has imported stops its requests for a tenth of a second, every few seconds.
    Afterwards all is as usual: when Dagster's webserver ends, what is collected ends its code servers.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def give_back() -> None:
    """Give freed memory back to the system, which glibc keeps where anything after it is still in use."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def collect_seldom() -> None:
    """Collect garbage less often from now on, in a process that works on rows and does nothing else."""
    gc.set_threshold(_OBJECTS, 20, 20)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """Collect garbage less often until the block ends, in the whole process."""
    before = gc.get_threshold()
    gc.set_threshold(max(_OBJECTS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
