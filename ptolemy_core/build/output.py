"""The file that a CAR is written into: preallocated, written around the page cache, removed unless renamed.

Writing through the cache costs ten times the CPU of direct I/O, and a CAR is larger than a cache is useful for.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from ptolemy_core.build.buffers import PAGE, Buffers
from ptolemy_core.errors import StagingError

_READ = 4 << 20
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


def sync_folder(folder: str) -> None:
    """See that the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
