"""Paths of any length and any bytes: opening entries that lie deeper than the system's path limit.

A path's NUL-joined form (see `layout.items`) turns into file system calls here, and into text for people.
"""

import errno
import os
from collections.abc import Callable
from typing import TypeVar

from ptolemy_core.layout.items import SEPARATOR

_STEP = 3000
"""Bytes of a path that one call takes; Linux allows 4095, and a name 255."""

_T = TypeVar("_T")


def real_path(root: bytes, path: bytes) -> bytes:
    """The file system path of an entry below `root`."""
    return root + b"/" + path.replace(SEPARATOR, b"/") if path else root


def display(path: bytes) -> str:
    """An entry's path for people: `/` between names, whatever isn't printable text escaped."""
    text = path.replace(SEPARATOR, b"/").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def from_display(text: str) -> bytes:
    """The NUL-joined path of what a user typed: names joined by `/`, any bytes through surrogates."""
    return os.fsencode(text.strip("/")).replace(b"/", SEPARATOR)


def at_path(path: bytes, call: Callable[[bytes, int | None], _T]) -> _T:
    """`call(path, None)`, or where the path is too long, `call(rest, dir_fd)` from a folder near its end.

    Raises:
        OSError: as the call does, and where a folder on the way can't be opened.
    """
    try:
        return call(path, None)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG or len(path) < _STEP:
            raise
    folder, rest = os.open(b"/" if path.startswith(b"/") else b".", _FOLDER), path.lstrip(b"/")
    try:
        while len(rest) > _STEP:
            cut = rest.rfind(b"/", 0, _STEP)
            if cut < 0:
                break
            deeper = os.open(rest[:cut], _FOLDER, dir_fd=folder)
            os.close(folder)
            folder, rest = deeper, rest[cut + 1 :]
        return call(rest, folder)
    finally:
        os.close(folder)


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
