"""Deleting below a folder, where no link can lead out of it: each folder is opened within the one above."""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from ptolemy_core.catalog.deletions import Deletion, Source
from ptolemy_core.tree import SEPARATOR, Kind

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a file that has become a pipe must not hold us
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Below:
    """The entries below a folder: whether they still are what a scan saw, and their deletion."""

    def __init__(self, root: bytes) -> None:
        """Open the folder; it must not be a link.

        Raises:
            OSError: it can't be opened.
        """
        self._root = os.open(root, _FOLDER)
        self._path = b""
        self._folder = os.dup(self._root)
        self._dirty = False

    def __enter__(self) -> "Below":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sync()
        finally:
            os.close(self._folder)
            os.close(self._root)

    def sync(self) -> None:
        """See that what was deleted stays deleted when power is lost."""
        if self._dirty:
            os.fsync(self._folder)
            self._dirty = False

    def differs(self, source: Source) -> str | None:
        """How an entry isn't what the scan saw; None if it is."""
        try:
            folder, name = self._parent(source.path)
            with _opened(folder, name, source):
                return None
        except OSError as error:
            return _reason(error)
        except _Differs as found:
            return str(found)

    def delete(self, source: Source) -> str | None:
        """Delete an entry if it is what the scan saw; else say how it differs, or why it can't be deleted."""
        try:
            folder, name = self._parent(source.path)
            with _opened(folder, name, source):
                if source.kind == Kind.DIRECTORY:
                    os.rmdir(name, dir_fd=folder)
                else:
                    os.unlink(name, dir_fd=folder)
                self._dirty = True
                return None
        except OSError as error:
            return _reason(error)
        except _Differs as found:
            return str(found)

    def stands(self, row: Deletion) -> bool:
        """Whether what the journal says was to be deleted is still there.

        Raises:
            OSError: the folders on the way can't be read.
        """
        try:
            folder, name = self._parent(row.path)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return row.kind == Kind.DIRECTORY or status.st_mtime_ns == row.mtime

    def remove_empty(self, path: bytes) -> bool:
        """Remove a folder if it is empty; whether it was."""
        try:
            folder, name = self._parent(path)
            os.rmdir(name, dir_fd=folder)
        except OSError:
            return False
        self._dirty = True
        return True

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """The open folder of an entry, and its name there."""
        above, _, name = path.rpartition(SEPARATOR)
        if above != self._path:
            self.sync()
            folder = os.dup(self._root)
            try:
                for part in above.split(SEPARATOR) if above else ():
                    deeper = os.open(part, _FOLDER, dir_fd=folder)
                    os.close(folder)
                    folder = deeper
            except OSError:
                os.close(folder)
                raise
            os.close(self._folder)
            self._folder, self._path = folder, above
        return self._folder, name


class _Differs(Exception):
    """An entry isn't what the scan saw."""


@contextmanager
def _opened(folder: int, name: bytes, source: Source) -> Iterator[None]:
    """See that an entry is what the scan saw; a file stays so within the block as far as the system can promise."""
    if source.kind == Kind.SYMLINK:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            raise _Differs("it is no link any more")
        if os.readlink(name, dir_fd=folder) != source.target or status.st_mtime_ns != source.mtime:
            raise _Differs("the link changed since the scan")
        yield
        return
    if source.kind == Kind.DIRECTORY:
        descriptor = os.open(name, _FOLDER, dir_fd=folder)
        try:
            if os.listdir(descriptor):
                raise _Differs("the folder isn't empty any more")
        finally:
            os.close(descriptor)
        yield
        return
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        _lease(descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _Differs("it is no regular file any more")
        if status.st_size != source.size:
            raise _Differs(f"its size was {source.size} bytes, now {status.st_size}")
        if status.st_mtime_ns != source.mtime:
            raise _Differs("its modification time is another")
        there = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if (there.st_dev, there.st_ino) != (status.st_dev, status.st_ino):
            raise _Differs("it is being replaced")
        yield
    finally:
        os.close(descriptor)


def _lease(descriptor: int) -> None:
    """Learn whether somebody has the file open for writing, and hold off who wants to, where the system can.

    Raises:
        _Differs: somebody has.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return
    with suppress(OSError):  # the news that somebody wants to write: not as a signal that ends us
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise _Differs("somebody has it open for writing") from None
        # others' files, and file systems without leases: then size and mtime alone tell


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENXIO):
        return "it is no regular file any more"
    if error.errno == errno.ENOTDIR:
        return "a folder on the way to it is none any more, or is a link"
    if error.errno == errno.ENOENT:
        return "it is gone already"
    return f"it can't be deleted ({error.strerror})"
