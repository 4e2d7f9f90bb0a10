"""The file that a CAR is written into: preallocated, written around the page cache, removed unless renamed.

Writing through the cache costs ten times the CPU of direct I/O, and a CAR is larger than a cache is useful for.
"""

import errno
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ptolemy_core.build.buffers import PAGE, whole_pages
from ptolemy_core.errors import StagingError

_RESERVE = 64 << 20
"""Bytes that a CAR leaves free in the staging folder, so that the catalog beside it can still be written."""

_FLAGS = os.O_RDWR | os.O_CLOEXEC
_DIRECT = getattr(os, "O_DIRECT", 0)


class Output:
    """An open file of known size in the staging folder."""

    def __init__(self, path: str, size: int) -> None:
        """Make the file, empty, and take its space on the disk.

        Raises:
            OSError: it can't be made, or there isn't room.
        """
        self._path = path
        self._size = size
        self._plain = os.open(path, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o644)
        self._direct = -1
        if _DIRECT:
            with suppress(OSError):  # not every file system has direct I/O
                self._direct = os.open(path, _FLAGS | _DIRECT)
        try:
            _preallocate(self._plain, size)
        except BaseException:
            self.close()
            raise

    def write(self, data: memoryview, offset: int) -> None:
        """Write at an offset; from several threads too. What is page-aligned goes directly to the disk.

        Raises:
            OSError: the disk is full, or fails.
        """
        done = 0
        if self._direct >= 0 and offset % PAGE == 0:
            done = _write(self._direct, data[: len(data) // PAGE * PAGE], offset)
        _write(self._plain, data[done:], offset + done)

    def sync(self) -> None:
        """See that all is on the disk."""
        os.fsync(self._plain)

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        """Read `size` bytes at an offset back into a page-aligned buffer, around the page cache where it can be.

        Raises:
            OSError: the disk fails.
        """
        view = memoryview(buffer)
        done = 0
        while done < size:
            aligned = self._direct >= 0 and (offset + done) % PAGE == done % PAGE == 0
            source = self._direct if aligned else self._plain
            got = os.preadv(source, [view[done : whole_pages(size)]], offset + done)
            if not got:
                raise OSError(errno.EIO, f"{self._path} ends at {offset + done}")
            done += got
        return view[:size]

    def close(self) -> None:
        """Close the file."""
        for descriptor in (self._plain, self._direct):
            if descriptor >= 0:
                os.close(descriptor)


@contextmanager
def partial_file(path: str, size: int) -> Iterator[Output]:
    """An Output at `path`, removed at the end unless its owner has renamed it.

    Raises:
        StagingError: the folder can't be written, hasn't room, or its disk fails within the block.
    """
    folder = os.path.dirname(path)
    try:
        free = shutil.disk_usage(folder).free
        with suppress(OSError):
            free += os.stat(path).st_blocks * 512  # an earlier try's file is overwritten
        if free < size + _RESERVE:
            raise StagingError(
                f"{folder} has {free} bytes free, a CAR of {size} bytes needs {size + _RESERVE}: "
                "move or delete finished CARs, or free space, then run blitz again"
            )
        output = Output(path, size)
    except OSError as error:
        with suppress(OSError):
            os.unlink(path)
        raise _staging_error(folder, size, error) from error
    try:
        yield output
    except OSError as error:
        raise _staging_error(folder, size, error) from error
    finally:
        output.close()
        with suppress(FileNotFoundError):
            os.unlink(path)


def _staging_error(folder: str, size: int, error: OSError) -> StagingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StagingError(
            f"{folder} is full ({error.strerror}) while a CAR of {size} bytes was built: "
            "move or delete finished CARs, or free space, then run blitz again"
        )
    return StagingError(
        f"a CAR can't be written in {folder} ({error.strerror}): "
        "see that the folder is there and writable, then run blitz again"
    )


def _preallocate(descriptor: int, size: int) -> None:
    """Take the space now, so that a full disk shows before the work and not behind it."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise
        os.ftruncate(descriptor, size)


def _write(descriptor: int, data: memoryview, offset: int) -> int:
    done = 0
    while done < len(data):
        done += os.pwrite(descriptor, data[done:], offset + done)
    return done
