"""Listing folders: names in byte order with their lstat status, in one call per folder with the compiled kernel."""

import errno
import os
from typing import NamedTuple

import numpy as np

from ptolemy_core.kernel import _native, variant

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
