"""Listing folders: names in byte order with their lstat status, in one call per folder with the compiled kernel.

`walk_folder` goes from folder to folder without an object for each entry, as long as there is nothing special.
"""

import ctypes
import errno
import itertools
import os
from array import array
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel import _native, variant
from ptolemy_core.tree.packed import Page

NO_TIME = 1 << 32
"""A bit added to a mode: the entry's mtime is before 1677 or after 2262."""


class Listing(NamedTuple):
    """A folder's entries, sorted by name, as one list per column.

    Attributes:
        paths: prefix and name.
        modes: st_mode, with NO_TIME added if the mtime is out of range; -errno if lstat failed.
        sizes: st_size, bytes.
        mtimes: st_mtime_ns; 0 if that doesn't fit in 64 bits.
    """

    paths: list[bytes]
    modes: list[int]
    sizes: list[int]
    mtimes: list[int]


def list_folder(descriptor: int, prefix: bytes) -> Listing:
    """List an open folder; entries that vanish meanwhile are skipped. The GIL is released.

    Raises:
        OSError: it can't be read.
    """
    loaded = _native.library()
    if not isinstance(loaded, _native.Library) or variant() == "python":
        return _list_in_python(descriptor, prefix)
    size, entries = 1 << 16, 1 << 10
    while True:
        paths, columns = bytearray(size), np.empty((3, entries), dtype=np.int64)
        found, needed = loaded.list_folder(descriptor, prefix, paths, columns)
        if found >= 0:
            break
        if found != -errno.ERANGE:
            raise OSError(-found, os.strerror(-found))
        entries, size = (
            needed[0] + needed[0] // 8,
            needed[1] + needed[1] // 8,
        )  # the folder may grow meanwhile
    modes, sizes, mtimes = columns[:, :found].tolist()
    names = bytes(memoryview(paths)[: needed[1]]).split(b"/", found)[:found]
    return Listing(names, modes, sizes, mtimes)


class _Walked(ctypes.Structure):
    """`struct walked` of native/walk.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("room", "bytes", "folder_bytes", "count", "runs")),
        *((name, ctypes.c_void_p) for name in ("names", "folders", "ends", "starts", "folder_ends")),
        *((name, ctypes.c_void_p) for name in ("modes", "sizes", "mtimes", "ctimes", "inodes")),
    )


ROOM = 8192
"""Entries that come at once."""


class _Room:
    """What a walk writes some thousands of entries to, again and again."""

    def __init__(self, entries: int) -> None:
        self._names = np.empty(entries * 64, dtype=np.uint8)
        self._folders = np.empty(entries * 128, dtype=np.uint8)
        self._ends, self._starts = np.empty((2, entries + 1), dtype=np.uint32)
        self._folder_ends = np.empty(entries, dtype=np.int64)
        self._columns = np.empty((5, entries), dtype=np.int64)
        self.target = _Walked(
            entries,
            len(self._names),
            len(self._folders),
            0,
            0,
            *(
                column.ctypes.data
                for column in (self._names, self._folders, self._ends, self._starts, self._folder_ends)
            ),
            *(column.ctypes.data for column in self._columns),
        )

    def page(self) -> tuple[Page, NDArray[np.int64]]:
        """A copy of the paths that were written, and of their five columns of numbers."""
        count, runs = self.target.count, self.target.runs
        ends, starts = array("I"), array("I")
        ends.frombytes(self._ends[: count + 1].tobytes())
        starts.frombytes(self._starts[:runs].tobytes())
        folder_ends = self._folder_ends[:runs].tolist()
        folders = self._folders[: folder_ends[-1]].tobytes()
        edges = itertools.pairwise([0, *folder_ends])
        names = self._names[: ends[-1]].tobytes()
        page = Page(names, ends, starts, [folders[low:high] for low, high in edges])
        return page, self._columns[:, :count].copy()


class SpecialEntryError(Exception):
    """A walk found something other than readable files, links and folders, or can't go on."""


class Walked(NamedTuple):
    """Entries in path order: all but the folders that have entries.

    Attributes:
        paths: relative to the folder.
        modes, sizes, mtimes, ctimes, inodes: of the lstat of each; nanoseconds, ctimes and inodes modulo 2^64.
    """

    paths: Page
    modes: NDArray[np.int64]
    sizes: NDArray[np.int64]
    mtimes: NDArray[np.int64]
    ctimes: NDArray[np.int64]
    inodes: NDArray[np.int64]


def walk_folder(descriptor: int) -> Iterator[Walked]:
    """Walk an open folder without following links; entries that vanish meanwhile are skipped. The GIL is released.

    Raises:
        SpecialEntryError: there is something special, or the walk failed, or there is no compiled kernel.
    """
    loaded = _native.library()
    if not isinstance(loaded, _native.Library) or variant() == "python":
        raise SpecialEntryError
    walk = loaded.handle.ptolemy_walk_start(descriptor)
    if not walk:
        raise SpecialEntryError
    try:
        room = _Room(ROOM)
        while loaded.handle.ptolemy_walk_next(walk, ctypes.byref(room.target)) == 0:
            if not room.target.count:
                return
            page, columns = room.page()
            yield Walked(page, *columns)
        raise SpecialEntryError
    finally:
        loaded.handle.ptolemy_walk_end(walk)


def fits(time: int) -> bool:
    """Whether a number of nanoseconds fits in a signed 64-bit integer."""
    return -1 << 63 <= time < 1 << 63


def _list_in_python(descriptor: int, prefix: bytes) -> Listing:
    out = Listing([], [], [], [])
    for name in sorted(map(os.fsencode, os.listdir(descriptor))):
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            row = (status.st_mode, status.st_size, status.st_mtime_ns)
            if not fits(status.st_mtime_ns):
                row = (status.st_mode | NO_TIME, status.st_size, 0)
        except FileNotFoundError:
            continue
        except OSError as error:
            row = (-(error.errno or errno.EIO), 0, 0)
        out.paths.append(prefix + name)
        for column, value in zip(out[1:], row, strict=True):
            column.append(value)
    return out
