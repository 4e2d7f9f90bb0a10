"""Deleting entries below a folder: only what still is what was scanned, and never what somebody has just put there.

Each folder is opened within the one above it, so no link can lead out. An entry is deleted in three steps: it is
renamed to a private name beside it, looked at there, and unlinked. What turns out to be something else gets
its name back, unless something newer has it by then; what is cut off in between is settled by `settle`.
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
from ptolemy_core.tree import SEPARATOR, Kind, paths

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a file that has become a pipe must not hold us
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Confirm = Callable[[int, os.stat_result], str | None]
"""Says of an open file, by its content, why it isn't what is to be deleted; None if it is."""


@dataclass(frozen=True, slots=True)
class Known:
    """An entry as the scan saw it.

    Attributes:
        path: NUL-joined, below the folder.
        kind: a `Kind`.
        size, mtime: st_size and st_mtime_ns.
        target: of a symbolic link.
        inode: as `inode_of` gives it, where it was looked at since; None: not known.
    """

    path: bytes
    kind: int
    size: int
    mtime: int
    target: bytes | None = None
    inode: int | None = None


class Outcome(Enum):
    """What became of an entry whose deletion was cut off."""

    DELETED = "it is gone"
    BACK = "it is there, under its name"
    UNREACHABLE = "its folder can't be reached"


def private_name() -> bytes:
    """A name for an entry that is set aside: hidden, and nobody else's."""
    return b".ptolemy-delete-" + secrets.token_hex(16).encode()


def inode_of(status: os.stat_result) -> int:
    """st_ino as a signed number of 64 bits, which databases can keep."""
    return wrapped(status.st_ino)


class OpenFolder:
    """A folder, opened once, and the entries below it: whether they still are what a scan saw, and their deletion."""

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
        """The folder's own."""
        return inode_of(os.fstat(self._root))

    def sync(self) -> None:
        """See that what was deleted stays deleted when power is lost.

        Raises:
            OSError: the disk fails.
        """
        if self._dirty:
            os.fsync(self._folder)
            self._dirty = False

    def look(self, known: Known) -> int:
        """The inode of an entry that still is what the scan saw.

        Raises:
            DiffersError: it isn't, or can't be looked at.
        """
        with _reasons():
            folder, name = self._parent(known.path)
            with _opened(folder, name, known) as found:
                return inode_of(found.status)

    def delete(self, known: Known, aside: bytes, confirm: Confirm) -> None:
        """Delete an entry if it is what the scan saw; else it stays.

        Args:
            known: the entry.
            aside: a `private_name` for it, journaled before.
            confirm: asked of a file, while it is open, right before it goes.

        Raises:
            DiffersError: it isn't, or can't be deleted.
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
                except BaseException:  # also where the system says that it wasn't renamed, and it was
                    _put_back(folder, aside, name)
                    raise

    def settle(self, known: Known, aside: bytes | None, confirm: Confirm, root: int | None = None) -> Outcome:
        """Bring an entry whose deletion was cut off to one end or the other: gone, or under its own name.

        Args:
            known: the entry, with its inode.
            aside: the name that it was to have in between.
            confirm: as for `delete`.
            root: this folder's inode then. Where it is another one now, an empty mount point perhaps, what isn't
                there isn't known to be gone.

        Raises:
            DiffersError: something is left under the private name, since its own name is taken by now.
        """
        gone = Outcome.DELETED if root in (None, self.inode) else Outcome.UNREACHABLE
        try:
            folder, name = self._parent(known.path)
        except FileNotFoundError:
            return gone
        except OSError:
            return Outcome.UNREACHABLE
        with _reasons():
            there, here = _status(folder, name), None if aside is None else _status(folder, aside)
            if aside is None or here is None:
                same = there is not None and (
                    known.kind == Kind.DIRECTORY or wrapped(there.st_mtime_ns) == known.mtime
                )
                return Outcome.BACK if same else gone
            self._dirty = True
            if there is None:
                _put_back(folder, aside, name)
                return Outcome.BACK
            if os.path.samestat(there, here):  # cut off while it got its name back
                _unlink(folder, aside)
                return Outcome.BACK
            try:
                with _opened(folder, aside, known) as found:
                    _confirm(found, confirm)
                    _unlink(folder, aside)
            except (OSError, DiffersError) as error:
                raise _left(aside, "something newer has its name") from error
            return Outcome.DELETED

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


class DiffersError(Exception):
    """An entry isn't what it should be, or can't be deleted; the message is the reason."""


@contextmanager
def _reasons() -> Iterator[None]:
    """System errors as reasons that a user understands."""
    try:
        yield
    except OSError as error:
        raise DiffersError(_reason(error)) from error


class _Found(NamedTuple):
    """An entry that is what the scan saw: a descriptor (of a link: -1), its status, whether we have a lease on it."""

    descriptor: int
    status: os.stat_result
    leased: bool


@contextmanager
def _opened(folder: int, name: bytes, known: Known) -> Iterator[_Found]:
    """See that an entry is what the scan saw, and keep it open.

    With a lease nobody can open a file for writing without our noticing. Not all file systems have leases.
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
                raise DiffersError("the folder isn't empty any more")
            status = os.fstat(descriptor)
        else:
            leased = _lease(descriptor)
            status = os.fstat(descriptor)
            _require_file(known, status)
            there = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not os.path.samestat(there, status):
                raise DiffersError("it is being replaced")
        _require_inode(known, status)
        yield _Found(descriptor, status, leased)
    finally:
        os.close(descriptor)


def _require_file(known: Known, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DiffersError("it is no regular file any more")
    if status.st_size != known.size:
        raise DiffersError(f"its size was {known.size} bytes, now {status.st_size}")
    if wrapped(status.st_mtime_ns) != known.mtime:
        raise DiffersError("its modification time is another")


def _require_link(folder: int, name: bytes, known: Known, status: os.stat_result) -> None:
    if not stat.S_ISLNK(status.st_mode):
        raise DiffersError("it is no link any more")
    if os.readlink(name, dir_fd=folder) != known.target or wrapped(status.st_mtime_ns) != known.mtime:
        raise DiffersError("the link changed since the scan")


def _require_inode(known: Known, status: os.stat_result) -> None:
    if known.inode is not None and inode_of(status) != known.inode:
        raise DiffersError("it is being replaced")


def _confirm(found: _Found, confirm: Confirm) -> None:
    """See that an open file's content is the right one, and that it wasn't changed meanwhile."""
    if found.descriptor < 0:
        return
    reason = confirm(found.descriptor, found.status)
    now = os.fstat(found.descriptor)
    if now.st_ctime_ns != found.status.st_ctime_ns or _changed(found, now):
        raise DiffersError("it is being changed")
    if reason:
        raise DiffersError(reason)


def _require_same(folder: int, aside: bytes, known: Known, found: _Found) -> None:
    """See that what was renamed is what was looked at before, unchanged."""
    now = os.stat(aside, dir_fd=folder, follow_symlinks=False)
    if not os.path.samestat(now, found.status):
        raise DiffersError("it is being replaced")
    if found.descriptor < 0:
        _require_link(folder, aside, known, now)
    elif _changed(found, os.fstat(found.descriptor)):
        raise DiffersError("it is being changed")


def _changed(found: _Found, now: os.stat_result) -> bool:
    """Whether a file was written or is about to be; renaming changes its time of change, but none of these."""
    same = (found.status.st_size, found.status.st_mtime_ns) == (now.st_size, now.st_mtime_ns)
    return not same or (found.leased and fcntl.fcntl(found.descriptor, fcntl.F_GETLEASE) != fcntl.F_RDLCK)


def _unlink(folder: int, aside: bytes) -> None:
    with suppress(FileNotFoundError):  # its removal was done, and the answer of a file server was lost
        os.unlink(aside, dir_fd=folder)


def _put_back(folder: int, aside: bytes, name: bytes) -> None:
    """Give an entry its name back, without overwriting anything.

    Raises:
        DiffersError: it stays under its private name.
    """
    try:
        rename_new(folder, aside, name)
    except FileNotFoundError:
        return  # it never left, or was unlinked after all
    except FileExistsError as error:
        raise _left(aside, "something newer has its name") from error
    except OSError as error:
        raise _left(aside, f"it can't be renamed back: {error.strerror}") from error


def _left(aside: bytes, why: str) -> DiffersError:
    return DiffersError(
        "it was replaced or changed while it was being deleted, and is kept beside it as "
        f"{paths.display(aside)} ({why})"
    )


def _status(folder: int, name: bytes) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    return None


def _lease(descriptor: int) -> bool:
    """Take a lease, where the system has them: it tells whether somebody has the file open for writing, or will.

    Raises:
        DiffersError: somebody has.
    """
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    with suppress(OSError):  # the news that somebody wants to write: not as a signal that ends us
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            raise DiffersError("somebody has it open for writing") from None
        return False  # others' files, and file systems without leases: then size, mtime and ctime alone tell
    return True


def _reason(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENXIO):
        return "it is no regular file any more"
    if error.errno == errno.ENOTDIR:
        return "a folder on the way to it is none any more, or is a link"
    if error.errno == errno.ENOENT:
        return "it is gone already"
    return f"it can't be deleted ({error.strerror})"
