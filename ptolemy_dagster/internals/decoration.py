"""Packages that what Dagster imports uses for coloured output alone, and does without where they aren't installed.

structlog and Mako import them at once, a thirtieth of a second of each run, which prints nothing in colour.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OPTIONAL = ("rich", "pygments")


@contextmanager
def undecorated() -> Iterator[None]:
    """Import in this block as if these weren't installed, unless they are imported already."""
    hidden = [name for name in _OPTIONAL if name not in sys.modules]
    modules: dict[str, object] = sys.modules  # type: ignore[assignment]
    modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del modules[name]
