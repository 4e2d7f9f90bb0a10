"""Opening and reading files beneath a folder without following links; many small files in one call."""

import ctypes
import errno
import itertools
import os
from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel import Buffer, _native, as_bytes, check_ranges, variant
from ptolemy_core.tree import SEPARATOR
from ptolemy_core.tree.packed import PackedPaths

DONE, SIZE, MTIME, CTIME, INODE, DEVICE = range(6)
"""Columns of the result of `read_files`: bytes read (or -errno), then the file's status after the read."""

BY_STEPS: bool = False
"""Open each folder of a path separately, even where the system has openat2: for tests."""

_FOLDER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class _Paths(ctypes.Structure):
    """`struct paths` of native/files.c."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "runs")),
        *((name, ctypes.c_char_p) for name in ("names", "folders")),
        *((name, ctypes.c_void_p) for name in ("ends", "starts", "folder_ends")),
    )


def open_beneath(root: int, path: bytes, flags: int) -> int:
    """Open an entry beneath an open folder.

    Args:
        root: descriptor of the folder.
        path: names joined by NUL.
        flags: of open(2); O_NOFOLLOW and O_CLOEXEC are added.

    Returns:
        its descriptor.

    Raises:
        OSError: it can't be opened; ELOOP or ENOTDIR if any part of the path, including the last, is a link.
    """
    loaded = _native.library()
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC
    if not isinstance(loaded, _native.Library):
        return _open_by_steps(root, path, flags)
    found = loaded.open_beneath(root, path.replace(SEPARATOR, b"/"), flags, BY_STEPS)
    if found < 0:
        raise OSError(-found, os.strerror(-found))
    return found


def _open_by_steps(root: int, path: bytes, flags: int) -> int:
    *above, name = path.split(SEPARATOR)
    folder = root
    try:
        for part in [*above, name]:
            if part in (b"", b"..") or b"/" in part:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        for part in above:
            deeper = os.open(part, _FOLDER, dir_fd=folder)
            if folder != root:
                os.close(folder)
            folder = deeper
        return os.open(name, flags, dir_fd=folder)
    finally:
        if folder != root:
            os.close(folder)


def read_files(
    root: int,
    paths: Sequence[bytes],
    buffer: Buffer,
    places: NDArray[np.int64],
    lengths: NDArray[np.int64],
    seen: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Read the first bytes of many small files beneath a folder into one buffer, without the GIL.

    Args:
        root: descriptor of the folder.
        paths: of the files, names joined by NUL; a folder is opened once for consecutive files in it.
        buffer: writable.
        places: offset in the buffer for each file, in bytes.
        lengths: bytes to read of each file.
        seen: the status that each file had at some time before, the columns SIZE to INODE; INODE is 0 where it isn't
            known. It saves a look at the file before it is read.

    Returns:
        a row per file, columns as above. DONE is negative for files that aren't regular, changed while they were
        read, or have an mtime out of range, and for all files without the compiled kernel: the caller reads those
        one by one and reports what is wrong with them.

    Raises:
        ValueError: a range isn't inside the buffer.
    """
    loaded = _native.library()
    if not isinstance(loaded, _native.Library) or variant() == "python" or not paths:
        return np.full((len(paths), 6), -errno.ENOSYS, dtype=np.int64)
    data = as_bytes(buffer)
    check_ranges(data.size, places, lengths)
    if not len(paths) == len(places) == (len(places) if seen is None else len(seen)):
        raise ValueError("paths, places and seen differ in length")
    columns = [np.ascontiguousarray(column, dtype=np.int64) for column in (places, lengths)]
    if seen is not None:
        columns.append(np.ascontiguousarray(seen, dtype=np.int64))
    results = np.zeros((len(paths), 6), dtype=np.int64)
    at = 0
    for page in (paths if isinstance(paths, PackedPaths) else PackedPaths(paths)).pages():
        folders = b"".join(page.folders)
        folder_ends = array("q", itertools.accumulate(map(len, page.folders)))
        ends = (page.ends, page.runs, folder_ends)
        names = _Paths(
            len(page), len(page.runs), page.names, folders, *(column.buffer_info()[0] for column in ends)
        )
        some = [column[at:].ctypes.data for column in columns]
        loaded.handle.ptolemy_read_files(
            root,
            ctypes.byref(names),
            data.ctypes.data,
            *some[:2],
            some[2] if seen is not None else None,
            results[at:].ctypes.data,
            BY_STEPS,
        )
        at += len(page)
    return results
