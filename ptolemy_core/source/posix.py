"""Reading sources, and refusing those that are no longer what the scan saw.

What the page cache holds is copied from there; what it doesn't is read around it (O_DIRECT), which costs a
tenth of the CPU and leaves the machine's cache to others.
"""

import errno
import mmap
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.errors import SourceChangedError, SourceError, SourceUnreadableError
from ptolemy_core.layout import Items
from ptolemy_core.source.buffers import PAGE, Buffers, whole_pages
from ptolemy_core.tree import Kind, paths

# O_NONBLOCK: a file that has become a pipe must not hold the build; O_NOFOLLOW: nor one that became a link
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

_DIRECT = getattr(os, "O_DIRECT", 0)
_CACHED_ONLY = getattr(os, "RWF_NOWAIT", 0)
_DIRECT_FROM = 1 << 20
"""Bytes of one read from which reading around the cache pays."""

_BOUNCE = 4 << 20
_IOVECS = 1000
"""Buffers of one call; Linux takes 1024."""

_REMEDY = "scan again, then containerize and blitz"


@dataclass(frozen=True, slots=True)
class Source:
    """The files behind a container's items, as the scan saw them.

    Attributes:
        root: target_dir, as bytes.
        items: the container's items.
        file_sizes: st_size of each item's whole file, bytes.
        mtimes: st_mtime_ns of each item's file, nanoseconds.
        targets: targets of symbolic links, by item.
    """

    root: bytes
    items: Items
    file_sizes: NDArray[np.int64]
    mtimes: NDArray[np.int64]
    targets: dict[int, bytes]
    _bounce: Buffers = field(default_factory=lambda: Buffers(_BOUNCE))

    def read_into(self, item: int, start: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers, one after the other, with the item's bytes from `start` (within the shard, bytes).

        Raises:
            SourceError: the file vanished, can't be read, or its size or mtime isn't the scan's.
        """
        path = paths.real_path(self.root, self.items.paths[item])
        offset = int(self.items.starts[item]) + start
        wanted = sum(map(len, buffers))
        try:
            descriptor = _open(path, _FLAGS)
            try:
                done = self._read(descriptor, path, offset, buffers, wanted)
                status = os.fstat(descriptor)  # after the read, so that a change during it shows too
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unreadable(item, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise self._changed(item, "it is no regular file any more")
        if status.st_size != self.file_sizes[item]:
            raise self._changed(item, f"its size was {self.file_sizes[item]} bytes, now {status.st_size}")
        if status.st_mtime_ns != self.mtimes[item]:
            raise self._changed(item, "its modification time is another")
        if done < wanted:
            raise self._changed(item, f"only {offset + done} bytes of it can be read")

    def read_small(
        self, items: NDArray[np.int64], buffer: mmap.mmap, places: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Read whole small files to their places in the buffer.

        Returns:
            which of them are read; the others are for `read_into`, which says what is wrong.
        """
        names = [paths.real_path(self.root, self.items.paths[item]) for item in items.tolist()]
        sizes = self.file_sizes[items]
        lengths = self.items.sizes[items]
        wanted: NDArray[np.bool_] = lengths == sizes  # not a shard of a larger file
        fine = kernel.read_files(
            names, buffer, places, np.where(wanted, lengths, 0), sizes, self.mtimes[items]
        )
        both: NDArray[np.bool_] = fine & wanted
        return both

    def _read(
        self, descriptor: int, path: bytes, offset: int, buffers: Sequence[memoryview], wanted: int
    ) -> int:
        """Read from the cache if all is there, else around it; returns how many bytes there were."""
        if wanted < _DIRECT_FROM or not _DIRECT:
            return _read_all(descriptor, offset, buffers)
        done = _read_cached(descriptor, offset, buffers, wanted)
        if done == wanted:
            return done
        rest = _behind(buffers, done)
        try:
            direct = _open(path, _FLAGS | _DIRECT)
        except OSError:
            return done + _read_all(descriptor, offset + done, rest)
        try:
            return done + self._read_direct(direct, offset + done, rest)
        except OSError as error:
            if error.errno != errno.EINVAL:  # this file system wants another alignment, or none at all
                raise
            return done + _read_all(descriptor, offset + done, rest)
        finally:
            os.close(direct)

    def _read_direct(self, descriptor: int, offset: int, buffers: Sequence[memoryview]) -> int:
        """Read whole aligned pages around the wanted bytes, and copy those out."""
        bounce = self._bounce.take()
        view = memoryview(bounce)
        done = 0
        try:
            for buffer in buffers:
                at = 0
                while at < len(buffer):
                    low = (offset + done) // PAGE * PAGE
                    skip = offset + done - low
                    size = min(whole_pages(skip + len(buffer) - at), len(view))
                    got = os.preadv(descriptor, [view[:size]], low) - skip
                    if got <= 0:
                        return done
                    step = min(got, len(buffer) - at)
                    buffer[at : at + step] = view[skip : skip + step]
                    at += step
                    done += step
        finally:
            view.release()
            self._bounce.give(bounce)
        return done

    def check_whole(self, item: int) -> None:
        """See that a link still leads where it did, or that an empty folder is still there.

        Raises:
            SourceError: it isn't so.
        """
        path = paths.real_path(self.root, self.items.paths[item])
        try:
            if self.items.kinds[item] == Kind.SYMLINK:
                target = paths.at_path(path, lambda p, at: os.readlink(p, dir_fd=at))
                if target != self.targets[item]:
                    raise self._changed(item, "the link leads elsewhere")
            elif not stat.S_ISDIR(
                paths.at_path(path, lambda p, at: os.stat(p, dir_fd=at, follow_symlinks=False)).st_mode
            ):
                raise self._changed(item, "it is no folder any more")
        except OSError as error:
            raise self._unreadable(item, error) from error

    def check(self, item: int) -> None:
        """See that an item can be opened and is what the scan saw, without reading its data.

        Raises:
            SourceError: it isn't so.
        """
        if self.items.kinds[item] == Kind.FILE:
            self.read_into(item, 0, [])
        else:
            self.check_whole(item)

    def _name(self, item: int) -> str:
        return paths.display(self.root) + "/" + paths.display(self.items.paths[item])

    def _unreadable(self, item: int, error: OSError) -> SourceError:
        if error.errno == errno.EINVAL and self.items.kinds[item] == Kind.SYMLINK:
            return self._changed(item, "it is no link any more")
        # a folder, a pipe, a socket, a link by now
        if error.errno in (errno.EISDIR, errno.ESPIPE, errno.ENXIO, errno.ELOOP):
            return self._changed(item, "it is no regular file any more")
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            reason = f"is gone since the scan ({error.strerror})"
            return SourceChangedError(f"{self._name(item)} {reason}: {_REMEDY}", item=item, reason=reason)
        reason = f"can't be read ({error.strerror})"
        remedy = "make it readable, then run blitz again"
        return SourceUnreadableError(f"{self._name(item)} {reason}: {remedy}", item=item, reason=reason)

    def _changed(self, item: int, how: str) -> SourceError:
        reason = f"changed since the scan, {how}"
        return SourceChangedError(f"{self._name(item)} {reason}: {_REMEDY}", item=item, reason=reason)


def _open(path: bytes, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return paths.at_path(path, lambda p, at: os.open(p, flags, dir_fd=at))


def _read_cached(descriptor: int, offset: int, buffers: Sequence[memoryview], wanted: int) -> int:
    """Read what the page cache holds of the range's begin; returns how many bytes that were.

    A whole read that misses makes the system read ahead megabytes that are then read once more around the
    cache. So a page at either end is tried first, which makes it read next to nothing.
    """
    if not _CACHED_ONLY:
        return 0
    try:
        for at in (offset, offset + wanted - 1):
            if not os.preadv(descriptor, [bytearray(1)], at, _CACHED_ONLY):
                return 0
        return os.preadv(descriptor, buffers[:_IOVECS], offset, _CACHED_ONLY)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise
        return 0


def _read_all(descriptor: int, offset: int, buffers: Sequence[memoryview]) -> int:
    """Read until all is there or the file ends; returns how many bytes there were."""
    done = 0
    rest = buffers
    while rest:
        got = os.preadv(descriptor, rest[:_IOVECS], offset + done)
        if not got:
            break
        done += got
        rest = _behind(rest, got)
    return done


def _behind(buffers: Sequence[memoryview], done: int) -> Sequence[memoryview]:
    """What of the buffers is left when their first `done` bytes are filled."""
    for k, buffer in enumerate(buffers):
        if done < len(buffer):
            return [buffer[done:], *buffers[k + 1 :]]
        done -= len(buffer)
    return []
