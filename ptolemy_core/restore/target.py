"""The folder that a restore writes to, and nothing outside of it, whatever names, links or other processes do.

Each folder on a path is opened from the one above by its descriptor, and never through a symbolic link
(openat(2), O_NOFOLLOW); a file appears under its name only when it is whole (link(2), which replaces nothing).
"""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ptolemy_core.errors import PtolemyError
from ptolemy_core.sizes import readable
from ptolemy_core.tree import paths

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
_PART = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MAX_OPEN = 100
"""Folders of one path that are kept open at once."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)

Names = tuple[bytes, ...]


class TargetError(PtolemyError):
    """The folder to restore into can't be used, or has too little free space."""

    code = "target-unusable"


class EntryError(Exception):
    """One entry can't be restored; the others can. The message says why."""


STATE = b".ptolemy-restore"
"""Folder in the target for what isn't whole yet; with a number behind it where a tree has an entry of this name."""


def state_name(taken: Iterable[bytes]) -> bytes:
    """A name for the folder of partial files, other than these at the top of the tree."""
    names = set(taken)
    number, name = 0, STATE
    while name in names:
        number += 1
        name = STATE + b"-%d" % number
    return name


class TakenError(EntryError):
    """Something stands where an entry is to be put."""


def check_names(names: Names) -> None:
    """See that these names stand for a place below the folder they are used in.

    Raises:
        EntryError: one is empty, `.` or `..`, or holds `/` or NUL.
    """
    for name in names:
        if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
            raise EntryError(f"{name[:300]!r} is no name of a file: it could lead out of the target folder")


class Target:
    """A folder to restore into.

    While it is in use it holds a folder of its own for what is not whole yet, called `state`; `close` removes it if
    nothing is left in it.

    Args:
        folder: is made if it isn't there.
        state: name of the folder for partial files, that no entry at the top has.

    Raises:
        TargetError: the folder can't be made or written.
    """

    def __init__(self, folder: bytes, state: bytes) -> None:
        self.path = folder
        self.state = state
        try:
            os.makedirs(folder, exist_ok=True)
            self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise TargetError(
                f"{paths.display(folder)} can't be used as target ({error.strerror}): "
                "give a folder that you may write"
            ) from error
        self._open: list[tuple[bytes, int | None]] = []  # the folders of one path, from the top
        try:
            self._state = self._step(self._root, state, make=True)
        except OSError as error:
            os.close(self._root)
            raise TargetError(
                f"{paths.display(folder)} can't be written ({error.strerror}): give another target"
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all folders, and remove the one for partial files if it is empty."""
        for _, descriptor in self._open:
            if descriptor is not None:
                os.close(descriptor)
        os.close(self._state)
        with suppress(OSError):  # partial files are left: a later run goes on with them
            os.rmdir(self.state, dir_fd=self._root)
        os.close(self._root)

    def free_bytes(self) -> int:
        """Bytes that may still be written to its file system."""
        room = os.fstatvfs(self._root)
        return room.f_bavail * room.f_frsize

    @staticmethod
    def _step(parent: int, name: bytes, make: bool) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
        with suppress(FileExistsError):  # made meanwhile; opening says whether it is a folder
            os.mkdir(name, dir_fd=parent)
        return os.open(name, _FOLDER, dir_fd=parent)

    def folder(self, names: Names, make: bool = True) -> int:
        """The descriptor of the folder of this path, good until the next call; made where it isn't there.

        Raises:
            EntryError: something else stands in the way, or it can't be made.
            FileNotFoundError: it isn't there and isn't to be made.
        """
        common = 0
        for (name, _), wanted in zip(self._open, names, strict=False):
            if name != wanted:
                break
            common += 1
        while len(self._open) > common:
            self._pop()
        if self._open and self._open[-1][1] is None:
            # closed to keep few open: from the top again
            while self._open:
                self._pop()
        for at in range(len(self._open), len(names)):
            parent = self._open[-1][1] if self._open else self._root
            assert parent is not None
            try:
                descriptor = self._step(parent, names[at], make)
            except FileNotFoundError:
                raise
            except OSError as error:
                place = paths.display(b"\0".join(names[: at + 1]))
                if error.errno in (errno.ELOOP, errno.ENOTDIR):
                    raise EntryError(f"{place} is in the way: it is a link or a file, not a folder") from None
                raise EntryError(f"the folder {place} can't be made ({error.strerror})") from None
            self._open.append((names[at], descriptor))
            if at >= _MAX_OPEN and (old := self._open[at - _MAX_OPEN][1]) is not None:
                os.close(old)
                self._open[at - _MAX_OPEN] = (names[at - _MAX_OPEN], None)
        last = self._open[-1][1] if self._open else self._root
        assert last is not None
        return last

    def _pop(self) -> None:
        _, descriptor = self._open.pop()
        if descriptor is not None:
            os.close(descriptor)

    def look(self, names: Names) -> os.stat_result | None:
        """What stands at this path, a link not followed; None if nothing does.

        Raises:
            EntryError: it can't be looked at.
        """
        try:
            return os.stat(names[-1], dir_fd=self.folder(names[:-1], make=False), follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise EntryError(f"can't be looked at ({error.strerror})") from None

    def open_file(self, names: Names) -> int:
        """Open the regular file at this path for reading."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(names[-1], flags, dir_fd=self.folder(names[:-1], make=False))

    def read_link(self, names: Names) -> bytes:
        """Where the symbolic link at this path leads."""
        return os.readlink(names[-1], dir_fd=self.folder(names[:-1], make=False))

    def open_part(self, name: bytes, empty: bool = False) -> int:
        """Open a partial file for reading and writing; `empty` drops what an earlier run left in it."""
        try:
            descriptor = os.open(name, _PART | (os.O_TRUNC if empty else 0), 0o666, dir_fd=self._state)
        except OSError as error:
            raise EntryError(f"can't be written ({error.strerror})") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EntryError(f"{paths.display(self.state)} holds something that no restore has put there")
        return descriptor

    def place(self, part: bytes, names: Names, replace: bool) -> None:
        """Give a partial file, whole by now, its name.

        Raises:
            TakenError: something stands there and isn't to be replaced.
            EntryError: it can't be written.
        """
        folder = self.folder(names[:-1])
        name = names[-1]
        try:
            if replace:
                os.rename(part, name, src_dir_fd=self._state, dst_dir_fd=folder)
                return
            try:
                os.link(part, name, src_dir_fd=self._state, dst_dir_fd=folder, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._must_be_free(name, folder)  # a file system without hard links
                os.rename(part, name, src_dir_fd=self._state, dst_dir_fd=folder)
                return
            os.unlink(part, dir_fd=self._state)
        except FileExistsError:
            raise TakenError("is there already and differs: move it away, or overwrite") from None
        except OSError as error:
            raise EntryError(f"can't be written ({error.strerror})") from None

    @staticmethod
    def _must_be_free(name: bytes, folder: int) -> None:
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def drop_part(self, name: bytes) -> None:
        """Remove a partial file, if it is there."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._state)

    def forget(self, names: Names) -> None:
        """Remove a file that an earlier run left in the state folder, and the folders that are empty then."""
        with suppress(OSError, EntryError):
            os.unlink(names[-1], dir_fd=self.folder((self.state, *names[:-1]), make=False))
            for depth in range(len(names) - 1, 0, -1):
                parent = self.folder((self.state, *names[: depth - 1]), make=False)
                os.rmdir(names[depth - 1], dir_fd=parent)

    def link(self, names: Names, target: bytes, replace: bool, mtime: int | None) -> None:
        """Make a symbolic link; where it leads is kept as it is, and never followed.

        Raises:
            TakenError: something stands there and isn't to be replaced.
            EntryError: it can't be made.
        """
        folder = self.folder(names[:-1])
        name = names[-1]
        try:
            if replace:
                self.drop_part(b"link")
                os.symlink(target, b"link", dir_fd=self._state)
                os.rename(b"link", name, src_dir_fd=self._state, dst_dir_fd=folder)
            else:
                os.symlink(target, name, dir_fd=folder)
            if mtime is not None:
                os.utime(name, ns=(mtime, mtime), dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise TakenError("is there already and differs: move it away, or overwrite") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise EntryError(f"the link can't be made ({reason})") from None

    def set_folder_time(self, names: Names, mtime: int) -> None:
        """Set the modification time of a folder, nanoseconds since 1970."""
        os.utime(self.folder(names), ns=(mtime, mtime))


def check_room(target: Target, size: int, there: Iterable[int]) -> None:
    """See that `size` bytes fit; `there` says which of them are written already, and is asked only if they don't.

    Raises:
        TargetError: there is no room.
    """
    free = target.free_bytes()
    if size > free and (left := size - sum(there)) > free:
        raise TargetError(
            f"{paths.display(target.path)} has {readable(free)} free, {readable(left)} are to be written: "
            "make room, choose another folder, or restore less"
        )
