"""Reading sources, and refusing those that are no longer what the scan saw."""

import errno
import os
import stat
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import paths
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import Items, Kind

# O_NONBLOCK: a file that has become a pipe must not hold the build; O_NOFOLLOW: nor one that became a link
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK

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

    def read_into(self, item: int, start: int, buffer: memoryview) -> None:
        """Fill `buffer` with the item's bytes from `start` (offset within the shard, bytes).

        Raises:
            SourceError: the file vanished, can't be read, or its size or mtime isn't the scan's.
        """
        path = paths.real_path(self.root, self.items.paths[item])
        try:
            try:
                descriptor = os.open(path, _FLAGS)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                descriptor = paths.at_path(path, lambda p, at: os.open(p, _FLAGS, dir_fd=at))
            try:
                offset = int(self.items.starts[item]) + start
                done = 0
                while done < len(buffer):
                    got = os.preadv(descriptor, [buffer[done:]], offset + done)
                    if not got:
                        break
                    done += got
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
        if done < len(buffer):
            raise self._changed(item, f"only {offset + done} bytes of it can be read")

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

    def _name(self, item: int) -> str:
        return paths.display(self.root) + "/" + paths.display(self.items.paths[item])

    def _unreadable(self, item: int, error: OSError) -> SourceError:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return SourceError(f"{self._name(item)} is gone since the scan ({error.strerror}): {_REMEDY}")
        return SourceError(
            f"{self._name(item)} can't be read ({error.strerror}): make it readable, then run blitz again"
        )

    def _changed(self, item: int, how: str) -> SourceError:
        return SourceError(f"{self._name(item)} changed since the scan, {how}: {_REMEDY}")
