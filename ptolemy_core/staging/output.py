"""The file that a CAR is written into: preallocated, written with direct I/O, removed unless published.

Writing through the page cache takes ten times the CPU time of direct I/O, and a CAR is too large to benefit from it.
"""

import errno
import fcntl
import mmap
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ptolemy_core.errors import BusyError, StagingError, StagingFullError
from ptolemy_core.source import mounts
from ptolemy_core.source.buffers import PAGE, whole_pages
from ptolemy_core.staging import attempts

RESERVE = 64 << 20
"""Bytes that a CAR leaves free on the disk, so that a catalog on the same disk can still be written."""

_FLAGS = os.O_RDWR | os.O_CLOEXEC
_DIRECT = getattr(os, "O_DIRECT", 0)


class Output:
    """An open file of known size in the staging folder."""

    def __init__(self, path: str, size: int) -> None:
        """Create the file and allocate its space on the disk.

        Raises:
            OSError: it can't be created, or there isn't enough free space.
        """
        self._path = path
        self._size = size
        self._turn = threading.Lock()
        self._plain = os.open(path, _FLAGS | os.O_CREAT | os.O_TRUNC, 0o644)
        attempts.lock_file(self._plain)
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
        """Write at an offset; thread-safe. The page-aligned part uses direct I/O.

        Raises:
            OSError: the disk is full or fails.
        """
        done = 0
        if self._direct >= 0 and offset % PAGE == 0:
            done = _write(self._direct, data[: len(data) // PAGE * PAGE], offset)
        if done < len(data):
            # the system takes one write to a file at a time too, but there the other threads' cores are busy waiting
            with self._turn:
                _write(self._plain, data[done:], offset + done)

    def sync(self) -> None:
        """Make everything written so far durable."""
        os.fsync(self._plain)

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        """Read `size` bytes at an offset back into a page-aligned buffer, with direct I/O if possible.

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
        """Give the file its final name in the folder, durably.

        Raises:
            BusyError: a later attempt took over.
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
    """Bytes of a disk: `free` (with the earlier attempts at the same CAR), of which `reserved` for other CARs."""

    free: int
    reserved: int

    def lacks(self, size: int) -> int:
        """Bytes missing for a CAR of `size` bytes and the RESERVE; 0 if it fits."""
        return max(0, size + RESERVE + self.reserved - self.free)


def free_space(folder: str, part_name: str) -> Space:
    """Free space in a folder for the CAR whose file is called `part_name` while it is built.

    Raises:
        OSError: the folder can't be read.
    """
    free, reserved = shutil.disk_usage(folder).free, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(attempts.PART):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    allocated = status.st_blocks * 512
                    if attempts.is_attempt(entry.name, part_name):
                        free += allocated  # it will be removed
                    else:
                        reserved += max(0, status.st_size - allocated)
    return Space(free, reserved)


@contextmanager
def locked(folder: str) -> Iterator[None]:
    """Lock the folder: one process at a time checks free space and allocates it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(
            OSError
        ):  # not every file system can lock folders: then the allocation fails if it is full
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def too_full(folder: str, size: int, space: Space) -> str:
    """The message for a disk without enough space for a CAR of `size` bytes."""
    reserved = f", {space.reserved} of them reserved for CARs being built" if space.reserved else ""
    return (
        f"{folder} has {space.free} bytes free{reserved}, a CAR of {size} bytes needs {size + RESERVE}: "
        "move or delete finished CARs, or free space, then run blitz again"
    )


@contextmanager
def partial_file(path: str, size: int) -> Iterator[Output]:
    """An Output in the folder of `path`, removed at the end unless published. Removes those of earlier attempts.

    Raises:
        BusyError: an earlier attempt is still writing.
        StagingError: the folder isn't writable or lacks free space, or its disk fails within the block.
    """
    folder = os.path.dirname(path)
    own = attempts.own_path(path)
    try:
        with locked(folder):
            attempts.remove_earlier(path)
            space = free_space(folder, os.path.basename(path))
            if space.lacks(size):
                raise StagingFullError(too_full(folder, size, space))
            output = Output(own, size)
    except OSError as error:
        with suppress(OSError):
            os.unlink(own)
        raise staging_error(folder, size, error) from error
    try:
        yield output
    except OSError as error:
        raise staging_error(folder, size, error) from error
    finally:
        output.close()
        with suppress(FileNotFoundError):
            os.unlink(own)


def sync_folder(folder: str) -> None:
    """Make the entries of a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def staging_error(folder: str, size: int, error: OSError) -> StagingError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StagingFullError(
            f"{folder} is full ({error.strerror}) while a CAR of {size} bytes was built: "
            "move or delete finished CARs, or free space, then run blitz again"
        )
    return StagingError(
        f"a CAR can't be written in {folder} ({error.strerror}): "
        "check that the folder exists and is writable, then run blitz again"
    )


def _preallocate(descriptor: int, size: int) -> None:
    """Allocate the space now, so that a full disk is found before the work, not after it.

    In memory, allocating a page takes longer than writing it, and all cores but one would wait: there the file only
    gets its size, which other builds count as reserved.
    """
    if mounts.is_in_memory(os.fstat(descriptor).st_dev):
        os.ftruncate(descriptor, size)
        return
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
