"""Deleting entries below a folder: only what is unchanged since the scan, never what was put there meanwhile.

Each folder is opened from its parent, so no link can lead out. An entry is deleted in three steps: it is renamed to a
private name in the same folder, checked there, and unlinked. If it turns out to be something else, it gets its name
back, unless something newer has taken that name. `settle` completes deletions that were interrupted.
"""

import errno
import fcntl
import os
import secrets
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import NamedTuple

from ptolemy_core.source.rename import rename_new
from ptolemy_core.source.stamps import wrapped
from ptolemy_core.tree import Kind, paths

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a file replaced by a pipe must not block
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Confirm = Callable[[int, os.stat_result], str | None]
"""Checks the content of an open file: the reason why it must not be deleted, or None."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entry as the scan found it.

    Attributes:
        path: NUL-joined, relative to the folder.
        kind: a `Kind`.
        size, mtime: st_size and st_mtime_ns.
        target: of a symbolic link.
        inode: as returned by `inode_of`, if it was read since; None if unknown.
    """

    path: bytes
    kind: int
    size: int
    mtime: int
    target: bytes | None = None
    inode: int | None = None


class Outcome(Enum):
    """The outcome of an interrupted deletion."""

    DELETED = "it is deleted"
    BACK = "it exists, under its own name"
    UNREACHABLE = "its folder can't be reached"


def private_name() -> bytes:
    """A unique hidden name for an entry that is being deleted."""
    return b".ptolemy-delete-" + secrets.token_hex(16).encode()


def inode_of(status: os.stat_result) -> int:
    """st_ino as a signed 64-bit number, which databases can store."""
    return wrapped(status.st_ino)


class OpenFolder:
    """An open folder: checks whether entries below it are unchanged since a scan, and deletes them."""

    def __init__(self, root: bytes) -> None:
        """Open the folder; it must not be a link.

        Raises:
            OSError: it can't be opened.
        """
        self._root = os.open(root, _FOLDER)
        self._path = b""
        self._folder = os.dup(self._root)
        self._dirty = False

    def __enter__(self) -> "OpenFolder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.sync()
        finally:
            os.close(self._folder)
            os.close(self._root)

    @property
    def inode(self) -> int:
        """The folder's own inode."""
        return inode_of(os.fstat(self._root))

    def sync(self) -> None:
        """Make deletions durable.

        Raises:
            OSError: the disk fails.
        """
        if self._dirty:
            os.fsync(self._folder)
            self._dirty = False

    def look(self, known: Known) -> int:
        """The inode of an entry that is unchanged since the scan.

        Raises:
            DiffersError: it changed, or can't be read.
        """
        with _reasons():
            folder, name = self._parent(known.path)
            with _opened(folder, name, known) as found:
                return inode_of(found.status)

    def delete(self, known: Known, aside: bytes, confirm: Confirm) -> None:
        """Delete an entry if it is unchanged since the scan.

        Args:
            known: the entry.
            aside: a `private_name` for it, already journaled.
            confirm: called with a file, while it is open, right before its deletion.

        Raises:
            DiffersError: it changed, or can't be deleted; it is kept.
        """
        with _reasons():
            folder, name = self._parent(known.path)
            if known.kind == Kind.DIRECTORY:
                with _opened(folder, name, known):
                    os.rmdir(name, dir_fd=folder)
                self._dirty = True
                return
            with _opened(folder, name, known) as found:
                _confirm(found, confirm)
                self._dirty = True
                try:
                    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
                    _require_same(folder, aside, known, found)
                    _unlink(folder, aside)
                except BaseException:  # also if the rename was reported as failed but happened
                    _put_back(folder, aside, name)
                    raise

    def settle(self, known: Known, aside: bytes | None, confirm: Confirm, root: int | None = None) -> Outcome:
        """Complete or undo an interrupted deletion: afterwards the entry is deleted or has its own name.

        Args:
            known: the entry, with its inode.
            aside: its private name during the deletion.
            confirm: as for `delete`.
            root: this folder's inode at that time. If it is another one now (an empty mount point, for example), a
                missing entry isn't known to be deleted.

        Raises:
            DiffersError: the entry stays under its private name, because its own name is taken.
        """
        if_missing = Outcome.DELETED if root in (None, self.inode) else Outcome.UNREACHABLE
        try:
            folder, name = self._parent(known.path)
        except FileNotFoundError:
            return if_missing
        except OSError:
            return Outcome.UNREACHABLE
        with _reasons():
            own, private = _status(folder, name), None if aside is None else _status(folder, aside)
            if aside is None or private is None:
                same = own is not None and (
                    known.kind == Kind.DIRECTORY or wrapped(own.st_mtime_ns) == known.mtime
                )
                return Outcome.BACK if same else if_missing
            self._dirty = True
            if own is None:
                _put_back(folder, aside, name)
                return Outcome.BACK
            if os.path.samestat(own, private):  # interrupted while it was getting its name back
                _unlink(folder, aside)
                return Outcome.BACK
            try:
                with _opened(folder, aside, known) as found:
                    _confirm(found, confirm)
                    _unlink(folder, aside)
            except (OSError, DiffersError) as error:
                raise _kept_aside(aside, "a newer entry has its name") from error
            return Outcome.DELETED

    def remove_empty(self, path: bytes) -> bool:
        """Remove a folder if it is empty; returns whether it was removed."""
        try:
            folder, name = self._parent(path)
            os.rmdir(name, dir_fd=folder)
        except OSError:
            return False
        self._dirty = True
        return True

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """The open folder of an entry, and its name there."""
        parent, name = paths.split(path)
        if parent != self._path:
            self.sync()
            folder = os.dup(self._root)
            try:
                for part in paths.names(parent):
                    deeper = os.open(part, _FOLDER, dir_fd=folder)
                    os.close(folder)
                    folder = deeper
            except OSError:
                os.close(folder)
                raise
            os.close(self._folder)
            self._folder, self._path = folder, parent
        return self._folder, name


class DiffersError(Exception):
    """An entry changed, or can't be deleted; the message is the reason."""


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn system errors into reasons that users understand."""
    try:
        yield
    except OSError as error:
        raise DiffersError(_reason(error)) from error


class _Found(NamedTuple):
    """An unchanged entry: its descriptor (-1 for a link), its status, and whether we have a lease on it."""

    descriptor: int
    status: os.stat_result
    leased: bool


@contextmanager
def _opened(folder: int, name: bytes, known: Known) -> Iterator[_Found]:
    """Check that an entry is unchanged since the scan, and keep it open.

    With a lease, nobody can open the file for writing unnoticed. Not all file systems have leases.
    """
    if known.kind == Kind.SYMLINK:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        _require_inode(known, status)
        _require_link(folder, name, known, status)
        yield _Found(-1, status, False)
        return
    descriptor = os.open(name, _FOLDER if known.kind == Kind.DIRECTORY else _FILE, dir_fd=folder)
    leased = False
    try:
        if known.kind == Kind.DIRECTORY:
            if os.listdir(descriptor):
                raise DiffersError("the folder is no longer empty")
            status = os.fstat(descriptor)
        else:
            leased = _lease(descriptor)
            status = os.fstat(descriptor)
            _require_file(known, status)
            by_name = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not os.path.samestat(by_name, status):
                raise DiffersError("it is being replaced")
        _require_inode(known, status)
        yield _Found(descriptor, status, leased)
    finally:
        os.close(descriptor)


def _require_file(known: Known, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DiffersError("it is no longer a regular file")
    if status.st_size != known.size:
        raise DiffersError(f"its size was {known.size} bytes, now {status.st_size}")
    if wrapped(status.st_mtime_ns) != known.mtime:
        raise DiffersError("its modification time changed")


def _require_link(folder: int, name: bytes, known: Known, status: os.stat_result) -> None:
    if not stat.S_ISLNK(status.st_mode):
        raise DiffersError("it is no longer a link")
    if os.readlink(name, dir_fd=folder) != known.target or wrapped(status.st_mtime_ns) != known.mtime:
        raise DiffersError("the link changed since the scan")


def _require_inode(known: Known, status: os.stat_result) -> None:
    if known.inode is not None and inode_of(status) != known.inode:
        raise DiffersError("it is being replaced")


def _confirm(found: _Found, confirm: Confirm) -> None:
    """Check the content of an open file, and that the file didn't change meanwhile."""
    if found.descriptor < 0:
        return
    reason = confirm(found.descriptor, found.status)
    now = os.fstat(found.descriptor)
    if now.st_ctime_ns != found.status.st_ctime_ns or _changed(found, now):
        raise DiffersError("it is being changed")
    if reason:
        raise DiffersError(reason)


def _require_same(folder: int, aside: bytes, known: Known, found: _Found) -> None:
    """Check that the renamed entry is the one that was checked before, unchanged."""
    now = os.stat(aside, dir_fd=folder, follow_symlinks=False)
    if not os.path.samestat(now, found.status):
        raise DiffersError("it is being replaced")
    if found.descriptor < 0:
        _require_link(folder, aside, known, now)
    elif _changed(found, os.fstat(found.descriptor)):
        raise DiffersError("it is being changed")


def _changed(found: _Found, now: os.stat_result) -> bool:
    """Whether a file was written or is about to be; ctime isn't compared, since renaming changes it."""
    same = (found.status.st_size, found.status.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    return not same or (found.leased and fcntl.fcntl(found.descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK)


def _unlink(folder: int, aside: bytes) -> None:
    with suppress(FileNotFoundError):  # a file server removed it, but its reply was lost
        os.unlink(aside, dir_fd=folder)


def _put_back(folder: int, aside: bytes, name: bytes) -> None:
    """Give an entry its name back, without overwriting anything.

    Raises:
        DiffersError: it stays under its private name.
    """
    try:
        rename_new(folder, aside, name)
    except FileNotFoundError:
        return  # it wasn't renamed, or was unlinked after all
    except FileExistsError as error:
        raise _kept_aside(aside, "a newer entry has its name") from error
    except OSError as error:
        raise _kept_aside(aside, f"it can't be renamed back: {error.strerror}") from error


def _kept_aside(aside: bytes, why: str) -> DiffersError:
    return DiffersError(
        "it was replaced or changed while it was being deleted, and is kept in the same folder as "
        f"{paths.display(aside)} ({why})"
    )


def _status(folder: int, name: bytes) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    return None


def _lease(descriptor: int) -> bool:
    """Take a lease, if the system has them: it shows whether another process has or gets the file open for writing.

    Raises:
        DiffersError: another process has it open for writing.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    with suppress(OSError):  # be notified of writers by a signal that is ignored by default
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise DiffersError("another process has it open for writing") from None
        return (
            False  # others' files, and file systems without leases: only size, mtime and ctime are compared
        )
    return True


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENXIO):
        return "it is no longer a regular file"
    if error.errno == errno.ENOTDIR:
        return "a folder in its path is no longer a folder, or is a link"
    if error.errno == errno.ENOENT:
        return "it no longer exists"
    return f"it can't be deleted ({error.strerror})"
