"""Folders below a root, each opened from the one above by its descriptor, and never through a symbolic link.

openat(2) with O_NOFOLLOW: whatever names, links or other processes do, what is opened is below the root. The folders
of the last path stay open, since the next entry is mostly in one of them.
"""

import errno
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from ptolemy_core.restore.path import Path
from ptolemy_core.tree import paths

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
"""Flags that open a folder, and refuse a link to one."""
_MAX_OPEN = 128
"""Folders at the end of a path that are kept open; above them, only every so many-th is."""


class EntryError(Exception):
    """One entry can't be restored; the others can. The message says why."""


@dataclass
class _Level:
    """A folder of the path that is open: its descriptor, or None where it was closed to keep few open."""

    path: Path
    descriptor: int | None


def open_step(parent: int, name: bytes, make: bool, replace: bool = False) -> int:
    """Open a folder in another; make it where it isn't there, or where a file is that may be replaced."""
    try:
        return os.open(name, FOLDER, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
    except NotADirectoryError:
        if not make or not replace or not _is_file(name, parent):
            raise
        os.unlink(name, dir_fd=parent)
    with suppress(FileExistsError):  # made meanwhile; opening says whether it is a folder
        os.mkdir(name, dir_fd=parent)
    return os.open(name, FOLDER, dir_fd=parent)


def _is_file(name: bytes, folder: int) -> bool:
    return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


class OpenFolders:
    """The open folders on a path below a root.

    Args:
        root: descriptor of the folder that all are below; not closed here.
        replace: make a folder where a file is.
    """

    def __init__(self, root: int, *, replace: bool = False) -> None:
        self._root = root
        self._replace = replace
        self._open: list[_Level] = []  # the folders of one path, from the top

    def close(self) -> None:
        """Close all folders."""
        while self._open:
            self._pop()

    def folder(self, path: Path, make: bool = True) -> int:
        """The descriptor of the folder of this path, good until the next call; made where it isn't there.

        Raises:
            EntryError: something else is in the way, or it can't be made.
            FileNotFoundError: it isn't there and isn't to be made.
        """
        fresh = self._leave(path)
        parent = self._last_open()
        for path in fresh:
            try:
                descriptor = open_step(parent, path.name, make, self._replace)
            except FileNotFoundError:
                raise
            except OSError as error:
                self._refuse(path, error)
            self._open.append(_Level(path, descriptor))
            parent = descriptor
            self._close_above(len(self._open) - 1 - _MAX_OPEN)
        return parent

    def _leave(self, path: Path) -> list[Path]:
        """Close what isn't on the way to a folder; returns the folders that are still to be opened, from the top."""
        fresh: list[Path] = []
        here = path
        while here.parent is not None and (
            here.depth > len(self._open) or self._open[here.depth - 1].path is not here
        ):
            fresh.append(here)
            here = here.parent
        common = here.depth
        fresh.reverse()
        same = 0
        for level, one in zip(self._open[common:], fresh, strict=False):
            if level.path.name != one.name:
                break
            level.path = one  # of another walk over the same tree
            same += 1
        while len(self._open) > common + same:
            self._pop()
        return fresh[same:]

    def _last_open(self) -> int:
        """The descriptor of the last folder, which is opened again where it was closed."""
        at = len(self._open)
        while at and self._open[at - 1].descriptor is None:
            at -= 1
        parent = self._open[at - 1].descriptor if at else self._root
        assert parent is not None
        for level in self._open[at:]:
            try:
                parent = level.descriptor = open_step(parent, level.path.name, False)
            except OSError as error:
                self._refuse(level.path, error)
        return parent

    def _close_above(self, at: int) -> None:
        """Close a folder that is far above the last one, but for some from which others can be opened again."""
        if at >= 0 and at % _MAX_OPEN and (descriptor := self._open[at].descriptor) is not None:
            os.close(descriptor)
            self._open[at].descriptor = None

    @staticmethod
    def _refuse(path: Path, error: OSError) -> NoReturn:
        place = paths.display(path.shown())
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise EntryError(f"{place} is in the way: it is a link or a file, not a folder") from None
        raise EntryError(f"the folder {place} can't be made ({error.strerror})") from None

    def _pop(self) -> None:
        descriptor = self._open.pop().descriptor
        if descriptor is not None:
            os.close(descriptor)
