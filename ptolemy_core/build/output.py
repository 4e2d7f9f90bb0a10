"""The file that a CAR is written into: preallocated, written around the page cache, removed unless renamed.

Writing through the cache costs ten times the CPU of direct I/O, and a CAR is larger than a cache is useful for.
"""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ptolemy_core.build.buffers import PAGE, Buffers
from ptolemy_core.errors import StagingError

_READ = 4 << 20
RESERVE = 64 << 20
"""Bytes that a CAR leaves free in the staging folder, so that the catalog beside it can still be written."""

PART = ".part"
"""How names of files end that aren't whole yet."""

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

    def sha256(self) -> bytes:
        """Digest of the file. It needs a pass of its own: the first block, the root, is known last."""
        digest = hashlib.sha256()
        source = self._direct if self._direct >= 0 else self._plain
        buffers = Buffers(_READ)

        def read(at: int) -> memoryview:
            buffer = memoryview(buffers.take())
            return buffer[: os.preadv(source, [buffer], at)]

        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(read, 0)
            at = 0
            while got := following.result():
                at += len(got)
                following = ahead.submit(read, at if at < self._size else self._size)
                digest.update(got)
                buffers.give(got.obj)  # type: ignore[arg-type]
        return digest.digest()

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


def space(folder: str, part_name: str) -> Space:
    """Room in a folder for the CAR that is called `part_name` while it is built.

    Raises:
        OSError: the folder can't be read.
    """
    free, promised = shutil.disk_usage(folder).free, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(PART):
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    taken = status.st_blocks * 512
                    if entry.name == part_name:
                        free += taken  # an earlier try's file is overwritten
                    else:
                        promised += max(0, status.st_size - taken)
    return Space(free, promised)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """One process at a time looks for room and takes it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # not every file system locks folders: taking the room then tells
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def no_room(folder: str, size: int, room: Space) -> str:
    """What a user should know of a disk that can't take a CAR of `size` bytes."""
    promised = f", {room.promised} of them for CARs that are being built" if room.promised else ""
    return (
        f"{folder} has {room.free} bytes free{promised}, a CAR of {size} bytes needs {size + RESERVE}: "
        "move or delete finished CARs, or free space, then run blitz again"
    )


@contextmanager
def partial_file(path: str, size: int) -> Iterator[Output]:
    """An Output at `path`, removed at the end unless its owner has renamed it.

    Raises:
        StagingError: the folder can't be written, hasn't room, or its disk fails within the block.
    """
    folder = os.path.dirname(path)
    try:
        with _alone(folder):
            room = space(folder, os.path.basename(path))
            if room.lacks(size):
                raise StagingError(no_room(folder, size, room))
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
