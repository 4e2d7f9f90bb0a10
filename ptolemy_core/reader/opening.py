"""Opens a CAR without blocking.

A pipe, a socket or a character device in place of a CAR is an error at once, not a read that never returns.
"""

import errno
import os
import stat
from os import PathLike, fsdecode
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a character device",
}


def open_regular(path: str | bytes | PathLike[str]) -> BinaryIO:
    """Open a file, or a block device, for reading.

    Raises:
        OSError: it doesn't exist, can't be read, or is of another kind; `strerror` says which.
    """
    try:
        # without O_NONBLOCK, opening a pipe waits for a writer
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.EINVAL, "it is a socket, not a file", fsdecode(path)) from None
        raise
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind == stat.S_IFDIR:
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), fsdecode(path))
        if kind in _KINDS:
            raise OSError(errno.EINVAL, f"it is {_KINDS[kind]}, not a file", fsdecode(path))
        os.set_blocking(descriptor, True)
        return open(descriptor, "rb", buffering=0)
    except BaseException:
        os.close(descriptor)
        raise


def size_of(file: BinaryIO) -> int:
    """Size of an open file or block device in bytes; sets its position to the start."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
