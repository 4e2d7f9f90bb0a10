"""Status and link targets of entries beneath a folder, so that no symbolic link can lead out of it."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from ptolemy_core.kernel.files import open_beneath
from ptolemy_core.tree import paths

_SEARCH_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(folder: bytes) -> Iterator[int]:
    """A descriptor of the folder at a file system path, for access to entries beneath it; it must not be a link.

    Raises:
        OSError: it can't be opened.
    """
    descriptor = paths.at_path(folder, lambda path, at: os.open(path, _SEARCH_FLAGS, dir_fd=at))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def parent(root: int, path: bytes) -> Iterator[tuple[int, bytes]]:
    """The open folder of an entry beneath the open folder `root`, and the entry's name there.

    Raises:
        OSError: a folder in the path can't be opened, or is a link.
    """
    parent_path, name = paths.split(path)
    if not parent_path:
        yield root, name
        return
    folder = open_beneath(root, parent_path, _SEARCH_FLAGS)
    try:
        yield folder, name
    finally:
        os.close(folder)


def lstat(root: int, path: bytes) -> os.stat_result:
    """lstat of an entry beneath an open folder; of the folder itself if the path is empty.

    Raises:
        OSError: lstat failed.
    """
    if not path:
        return os.fstat(root)
    with parent(root, path) as (folder, name):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)


def readlink(root: int, path: bytes) -> bytes:
    """The target of a link beneath an open folder.

    Raises:
        OSError: it can't be read.
    """
    with parent(root, path) as (folder, name):
        return os.readlink(name, dir_fd=folder)


def is_behind_link(root: int, path: bytes) -> bool:
    """Whether a folder in the path of an entry is now a link."""
    names = paths.names(path)
    for count in range(1, len(names)):
        try:
            mode = lstat(root, paths.join_names(names[:count])).st_mode
        except OSError:
            return False
        if not stat.S_ISDIR(mode):
            return stat.S_ISLNK(mode)
    return False
