"""The file that a CAR is written into: preallocated, written around the page cache, removed unless renamed.

Writing through the cache costs ten times the CPU of direct I/O, and a CAR is larger than a cache is useful for.
"""

import errno
import fcntl
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ptolemy_core.errors import BusyError, StagingError, StagingFullError
from ptolemy_core.source.buffers import PAGE, whole_pages
from ptolemy_core.staging import attempts

RESERVE = 64 << 20
"""Bytes that a CAR leaves free in the staging folder, so that the catalog beside it can still be written."""

_FLAGS = os.O_RDWR | os.O_CLOEXEC
_DIRECT = getattr(os, "O_DIRECT", 0)


class Output:
    """An open file of known size in the staging folder."""

    def __init__(self, path: str, size: int) -> None:
        """Make the file, empty, and take its space on the disk.

        Raises:
            OSError: it can't be made, or there isn't enough free space.
        """
        self._path = path
        self._size = size
        self._plain = os.open(path, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o644)
        attempts.hold(self._plain)
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

    def publish(self, name: str) -> None:
        """Give the file its name in the folder, for good: also after a loss of power.

        Raises:
            BusyError: a later try took over.
        """
        try:
            os.replace(self._path, os.path.join(os.path.dirname(self._path), name))
        except FileNotFoundError:
            raise BusyError(
                f"{name} is being built by another process, which took over from this one"
            ) from None
        sync_folder(os.path.dirname(self._path))

    def close(self) -> None:
        """Close the file."""
        for descriptor in (self._plain, self._direct):
            if descriptor >= 0:
                os.close(descriptor)


class Space(NamedTuple):
    """Bytes of a disk: `free` for a CAR, its own earlier try counted in, `promised` to others being built there."""

    free: int
    promised: int

    def lacks(self, size: int) -> int:
        """Bytes that a CAR of `size` lacks, the reserve counted; 0 if it fits."""
        return max(0, size + RESERVE + self.promised - self.free)


def free_space(folder: str, part_name: str) -> Space:
    """Free space in a folder for the CAR that is called `part_name` while it is built.

    Raises:
        OSError: the folder can't be read.
    """
    free, promised = shutil.disk_usage(folder).free, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(attempts.PART):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    taken = status.st_blocks * 512
                    if attempts.is_try(entry.name, part_name):
                        free += taken  # it will be removed
                    else:
                        promised += max(0, status.st_size - taken)
    return Space(free, promised)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """One process at a time looks for free space and takes it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # not every file system locks folders: taking the space then tells
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def too_full(folder: str, size: int, space: Space) -> str:
    """What a user should know of a disk that can't take a CAR of `size` bytes."""
    promised = f", {space.promised} of them for CARs that are being built" if space.promised else ""
    return (
        f"{folder} has {space.free} bytes free{promised}, a CAR of {size} bytes needs {size + RESERVE}: "
        "move or delete finished CARs, or free space, then run blitz again"
    )


@contextmanager
def partial_file(path: str, size: int) -> Iterator[Output]:
    """An Output beside `path`, removed at the end unless its owner has renamed it. Earlier tries' are removed.

    Raises:
        BusyError: an earlier try still writes.
        StagingError: the folder can't be written, hasn't enough free space, or its disk fails within the block.
    """
    folder = os.path.dirname(path)
    own = attempts.own_path(path)
    try:
        with _alone(folder):
            attempts.drop_earlier(path)
            space = free_space(folder, os.path.basename(path))
            if space.lacks(size):
                raise StagingFullError(too_full(folder, size, space))
            output = Output(own, size)
    except OSError as error:
        with suppress(OSError):
            os.unlink(own)
        raise _staging_error(folder, size, error) from error
    try:
        yield output
    except OSError as error:
        raise _staging_error(folder, size, error) from error
    finally:
        output.close()
        with suppress(FileNotFoundError):
            os.unlink(own)


def sync_folder(folder: str) -> None:
    """See that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _staging_error(folder: str, size: int, error: OSError) -> StagingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StagingFullError(
            f"{folder} is full ({error.strerror}) while a CAR of {size} bytes was built: "
            "move or delete finished CARs, or free space, then run blitz again"
        )
    return StagingError(
        f"a CAR can't be written in {folder} ({error.strerror}): "
        "see that the folder is there and writable, then run blitz again"
    )


def _preallocate(descriptor: int, size: int) -> None:
    """Take the space now, so that a full disk shows before the work and not after it."""
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
