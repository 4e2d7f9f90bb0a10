"""Python's collector of cyclic garbage, while millions of rows go by that are none."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_OBJECTS = 50_000
"""New objects until a collection, Python's default is 700: a scan without news took half as long again with that."""


@contextmanager
def seldom() -> Iterator[None]:
    """Collect seldom until the block ends; in the whole process."""
    before = gc.get_threshold()
    gc.set_threshold(max(_OBJECTS, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
