"""The folder that a restore writes to, and nothing outside of it, whatever names, links or other processes do.

Folders are opened as `open_folders` does, never through a symbolic link; a file appears under its name only when it
is whole (link(2), which replaces nothing).
"""

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from ptolemy_core.errors import PtolemyError
from ptolemy_core.restore.open_folders import FOLDER, EntryError, OpenFolders, open_step
from ptolemy_core.restore.path import ROOT, Names, Path, path_of
from ptolemy_core.sizes import readable
from ptolemy_core.tree import paths

_PART = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)

Place = Names | Path
"""Where an entry goes: names from the target down."""


__all__ = ["STATE", "EntryError", "TakenError", "Target", "TargetError", "check_free_space", "state_name"]


class TargetError(PtolemyError):
    """The folder to restore into can't be used, or has too little free space."""

    code = "target-unusable"


STATE = b".ptolemy-restore"
"""Folder in the target for incomplete files; with a number appended where a tree has an entry of this name."""


def state_name(taken: Iterable[bytes]) -> bytes:
    """A name for the folder of partial files, other than these at the top of the tree."""
    names = set(taken)
    number, name = 0, STATE
    while name in names:
        number += 1
        name = STATE + b"-%d" % number
    return name


class TakenError(EntryError):
    """Something is where an entry is to be put."""


class Target:
    """A folder to restore into.

    While it is in use it holds a folder of its own for what is not whole yet, called `state`; `close` removes it if
    nothing is left in it.

    Args:
        folder: is made if it isn't there.
        state: name of the folder for partial files, that no entry at the top has.
        replace: put entries in the place of files and links that are there, and of files and empty folders
            where a folder or file is to be; links are never replaced by folders.

    Raises:
        TargetError: the folder can't be made or written.
    """

    def __init__(self, folder: bytes, state: bytes, *, replace: bool = False) -> None:
        if not folder:
            raise TargetError("the folder to write to is empty: give its path, `.` for the current one")
        self.path = folder
        self.state = state
        self.replace = replace
        try:
            os.makedirs(folder, exist_ok=True)
            self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise TargetError(
                f"{paths.display(folder)} can't be used as target ({error.strerror}): "
                "give a folder that you can write to"
            ) from error
        self._folders = OpenFolders(self._root, replace=replace)
        try:
            self._state = open_step(self._root, state, make=True)
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
        self._folders.close()
        os.close(self._state)
        with suppress(OSError):  # partial files are left: a later run resumes with them
            os.rmdir(self.state, dir_fd=self._root)
        os.close(self._root)

    def free_bytes(self) -> int:
        """Bytes that may still be written to its file system."""
        disk = os.fstatvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def folder(self, place: Place, make: bool = True) -> int:
        """The descriptor of the folder of this path, good until the next call; made where it isn't there.

        Raises:
            EntryError: something else is in the way, or it can't be made.
            FileNotFoundError: it isn't there and isn't to be made.
        """
        return self._folders.folder(path_of(place), make)

    def _above(self, path: Path, make: bool = True) -> int:
        """The descriptor of the folder that an entry is in."""
        return self.folder(path.parent or ROOT, make)

    def look(self, place: Place) -> os.stat_result | None:
        """What is at this path, a link not followed; None if nothing is.

        Raises:
            EntryError: it can't be looked at.
        """
        path = path_of(place)
        try:
            return os.stat(path.name, dir_fd=self._above(path, make=False), follow_symlinks=False)
        except FileNotFoundError:
            return None
        except EntryError:
            if self.replace:
                return (
                    None  # what is in the way of its folder may be replaced; making the folder says so if not
                )
            raise
        except OSError as error:
            raise EntryError(f"can't be checked ({error.strerror})") from None

    def bytes_there(self, place: Place, size: int) -> int:
        """How many bytes of a file of this size need no free space, since something is at its path already."""
        found = self.look(place)
        if found is None:
            return 0
        # of a file with holes, blocks don't tell how much of it is there
        return size if found.st_size == size else min(size, found.st_blocks * 512)

    def open_file(self, place: Place) -> int:
        """Open the regular file at this path for reading."""
        path = path_of(place)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.open(path.name, flags, dir_fd=self._above(path, make=False))

    def read_link(self, place: Place) -> bytes:
        """Where the symbolic link at this path leads."""
        path = path_of(place)
        return os.readlink(path.name, dir_fd=self._above(path, make=False))

    def check_replaceable(self, place: Place, found: os.stat_result) -> None:
        """See that what is at this path may give way to a file or link.

        Raises:
            EntryError: it may not.
        """
        path = path_of(place)
        if not stat.S_ISDIR(found.st_mode):
            if not self.replace:
                raise EntryError("already exists and differs: move it away, or overwrite it")
            return
        if not self.replace:
            raise EntryError("is a folder in the target: move it away, or overwrite it if it is empty")
        descriptor = os.open(path.name, FOLDER, dir_fd=self._above(path, make=False))
        try:
            with os.scandir(descriptor) as inside:
                if next(inside, None) is not None:
                    raise EntryError(
                        "is a folder with entries in the target: move it away, it is never deleted"
                    )
        finally:
            os.close(descriptor)

    def open_part(self, name: bytes, empty: bool = False) -> int:
        """Open a partial file for reading and writing; `empty` drops what an earlier run left in it."""
        try:
            descriptor = os.open(name, _PART | (os.O_TRUNC if empty else 0), 0o666, dir_fd=self._state)
        except OSError as error:
            raise EntryError(f"can't be written ({error.strerror})") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise EntryError(f"{paths.display(self.state)} contains something that isn't from a restore")
        return descriptor

    def place(self, part: bytes, place: Place, replace: bool | None = None) -> None:
        """Give a partial file, whole by now, its name.

        Args:
            part: the partial file's name.
            place: where it goes.
            replace: whether it may replace what is there; None: as the target's is.

        Raises:
            TakenError: something is there and isn't to be replaced.
            EntryError: it can't be written.
        """
        path = path_of(place)
        folder = self._above(path)
        name = path.name
        try:
            if self.replace if replace is None else replace:
                self._rename_over(part, name, folder)
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
            raise TakenError("already exists and differs: move it away, or overwrite it") from None
        except OSError as error:
            raise EntryError(f"can't be written ({error.strerror})") from None

    def _rename_over(self, part: bytes, name: bytes, folder: int) -> None:
        """Rename a partial file or link over a file, a link or an empty folder."""
        try:
            os.rename(part, name, src_dir_fd=self._state, dst_dir_fd=folder)
        except IsADirectoryError:
            os.rmdir(name, dir_fd=folder)
            os.rename(part, name, src_dir_fd=self._state, dst_dir_fd=folder)

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

    def link(self, place: Place, target: bytes, replace: bool, mtime: int | None) -> None:
        """Make a symbolic link; where it leads is kept as it is, and never followed.

        Raises:
            TakenError: something is there and isn't to be replaced.
            EntryError: it can't be made.
        """
        path = path_of(place)
        folder = self._above(path)
        name = path.name
        try:
            if replace:
                self.drop_part(b"link")
                os.symlink(target, b"link", dir_fd=self._state)
                self._rename_over(b"link", name, folder)
            else:
                os.symlink(target, name, dir_fd=folder)
            if mtime is not None:
                os.utime(name, ns=(mtime, mtime), dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            raise TakenError("already exists and differs: move it away, or overwrite it") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise EntryError(f"the link can't be created ({reason})") from None

    def set_folder_time(self, place: Place, mtime: int) -> None:
        """Set the modification time of a folder, nanoseconds since 1970."""
        os.utime(self.folder(place), ns=(mtime, mtime))


def check_free_space(target: Target, size: int, there: Iterable[int]) -> None:
    """See that `size` bytes fit; `there` says which of them are written already, and is asked only if they don't.

    Raises:
        TargetError: there is too little free space.
    """
    free = target.free_bytes()
    if size > free and (left := size - sum(there)) > free:
        raise TargetError(
            f"{paths.display(target.path)} has {readable(free)} free, {readable(left)} must be written: "
            "free some space, choose another folder, or restore less"
        )
