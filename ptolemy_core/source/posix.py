"""A local folder as a source.

A stamp's token is the modification time, which can be set to any value; so each read also compares ctime and inode
before and after.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.errors import SettingsError, SourceError, SourceUnreadableError
from ptolemy_core.kernel import Buffer, files
from ptolemy_core.kernel.folders import SpecialEntryError, walk_folder
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source import beneath, descriptors, filesystem, mounts, open_file, refusals
from ptolemy_core.source.buffers import Buffers
from ptolemy_core.source.filesystem import Mounts
from ptolemy_core.source.listed import Listed
from ptolemy_core.source.packed_entries import PackedEntries, packed_entries
from ptolemy_core.source.protocol import BATCH, Entry, FolderSeen, State
from ptolemy_core.source.stamps import Stamp, Stamps, wrapped
from ptolemy_core.source.walk import OwnFolders, entry_at, walk_batches
from ptolemy_core.tree import Kind, paths

# O_NONBLOCK: a file replaced by a pipe must not block the build; O_NOFOLLOW: one replaced by a link isn't followed
_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY


@dataclass(frozen=True, slots=True)
class PosixSource:
    """A folder, or a single file or link.

    Attributes:
        root: its path. Links in the path are followed; the folder itself must not be a link, and no link beneath it
            is followed.
        own: Ptolemy's own folders, which `entries` leaves out.
    """

    root: bytes
    own: OwnFolders = field(default_factory=dict, compare=False, repr=False)
    _keeps_inodes: dict[int, bool] = field(default_factory=dict, compare=False, repr=False)
    _bounce: Buffers = field(default_factory=lambda: Buffers(descriptors.BOUNCE), compare=False, repr=False)

    def name(self, path: bytes) -> str:
        """The entry's full path, for people."""
        return paths.display(self.root) + "/" + paths.display(path)

    def top(self) -> Entry:
        """The entry at the path itself."""
        return entry_at(self.root)

    def entries(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = BATCH
    ) -> Iterator[list[Entry]]:
        """`walk_batches` of the folder, an object for each entry."""
        return map(list, self.listed(rules, folder=folder, size=size))

    def listed(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = BATCH
    ) -> Iterator[Listed]:
        """`walk_batches` of the folder."""
        return walk_batches(self.root, rules, folder=folder, own=self.own, size=size)

    def packed(self) -> PackedEntries | None:
        """All entries in columns; None if not all are readable files, links and folders: `entries` tells which."""
        if self.own:
            return None
        try:
            top = paths.at_path(self.root, lambda path, at: os.open(path, _FOLDER, dir_fd=at))
            try:
                return packed_entries(list(walk_folder(top)), self.link)
            finally:
                os.close(top)
        except (OSError, SourceError, SpecialEntryError):
            return None

    def mounts(self) -> Mounts:
        """The folder's file system, and those below it.

        Raises:
            SourceError: it can't be opened.
        """
        try:
            return filesystem.look(self.root)
        except OSError as error:
            raise SourceUnreadableError(
                f"{paths.display(self.root)} can't be scanned ({error.strerror}): "
                "check that the folder is there, mounted, and readable"
            ) from error

    def is_empty(self) -> bool:
        """Whether the folder has no entry.

        Raises:
            SourceError: it can't be listed.
        """
        try:
            with beneath.opened(self.root) as folder:
                listed = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
            try:
                with os.scandir(listed) as entries:
                    return next(entries, None) is None
            finally:
                os.close(listed)
        except OSError as error:
            raise SourceUnreadableError(
                f"{paths.display(self.root)} can't be read ({error.strerror})",
                reason=f"can't be read ({error.strerror})",
            ) from error

    def require_usable(self) -> None:
        """See that it is a readable folder.

        Raises:
            SettingsError: it isn't.
        """
        name = os.fsdecode(self.root)
        if not os.path.isdir(self.root):
            raise SettingsError(f"target_dir {name!r} isn't a folder: check the path, or mount it")
        if not os.access(self.root, os.R_OK | os.X_OK):
            raise SettingsError(f"target_dir {name!r} can't be read: change its permissions")

    @contextmanager
    def opened(self, path: bytes) -> Iterator["OpenedFile"]:
        """A file as it is now.

        Raises:
            SourceError: it can't be opened, or isn't a regular file.
        """
        try:
            descriptor = self._open(path, _FILE)
        except OSError as error:
            raise self._unreadable(path, error, refusals.NOT_A_FILE) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise self._changed(path, refusals.NOT_A_FILE)
            stamp = Stamp(status.st_size, wrapped(status.st_mtime_ns))
            yield OpenedFile(descriptor, stamp, wrapped(status.st_ctime_ns), self.name(path))
        finally:
            os.close(descriptor)

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> State:
        """Fill the buffers with a file's bytes; the file's status is compared before and after.

        Raises:
            SourceError: it can't be read, or changed.
        """
        wanted = sum(map(len, buffers))
        try:
            descriptor = self._open(path, _FILE)
            try:
                before = os.fstat(descriptor)
                self._compare(path, before, stamp)
                done = self._fill(descriptor, before, offset, buffers) if wanted else 0
                after = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._unreadable(path, error, refusals.NOT_A_FILE) from error
        if _fingerprint(after) != _fingerprint(before):
            raise refusals.torn(self.name(path))
        if done < wanted:
            raise self._changed(path, f"only {offset + done} bytes of it can be read")
        return wrapped(after.st_ctime_ns), wrapped(after.st_ino) if self._has_inodes(after.st_dev) else 0

    def read_many(
        self, names: Sequence[bytes], buffer: Buffer, offsets: NDArray[np.int64], stamps: Stamps
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Read whole files to these offsets in the buffer; which were read and are unchanged, and their states."""
        try:
            with beneath.opened(self.root) as root:
                found = files.read_files(root, names, buffer, offsets, stamps.sizes, _status_seen(stamps))
        except OSError:
            return np.zeros(len(names), dtype=np.bool_), np.zeros((len(names), 2), dtype=np.int64)
        same = stamps.same(Stamps(found[:, files.SIZE], found[:, files.MTIME]))
        for device in set(found[same, files.DEVICE].tolist()):
            if not self._has_inodes(device):
                found[found[:, files.DEVICE] == device, files.INODE] = 0
        return same & (found[:, files.DONE] == stamps.sizes), found[:, [files.CTIME, files.INODE]]

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        """Check that a file can be opened and still has its stamp, or that a folder can be opened.

        Raises:
            SourceError: it can't be opened, or changed.
        """
        if kind == Kind.FILE:
            self.read(path, 0, [], stamp)
            return
        try:
            os.close(self._open(path, _FOLDER))
        except OSError as error:
            raise self._unreadable(path, error, "it is no longer a folder") from error

    def link(self, path: bytes) -> bytes:
        """The target of a link.

        Raises:
            SourceError: it isn't a link, or can't be read.
        """
        try:
            if not path:
                return paths.at_path(self.root, lambda p, at: os.readlink(p, dir_fd=at))
            with beneath.opened(self.root) as root:
                return beneath.readlink(root, path)
        except OSError as error:
            raise self._unreadable(path, error, "it is no longer a link") from error

    def _open(self, path: bytes, flags: int) -> int:
        if not path:
            return paths.at_path(self.root, lambda p, at: os.open(p, flags, dir_fd=at))
        with beneath.opened(self.root) as root:
            return files.open_beneath(root, path, flags)

    def _fill(
        self, descriptor: int, status: os.stat_result, offset: int, buffers: Sequence[memoryview]
    ) -> int:
        """Fill the buffers from an open file; returns the number of bytes read."""
        within = offset + sum(map(len, buffers)) <= status.st_size
        read = descriptors.read_at
        if within and descriptors.may_skip_holes(status):
            read = descriptors.read_sparse
        return read(descriptor, offset, buffers, self._bounce)

    def _has_inodes(self, device: int) -> bool:
        if device not in self._keeps_inodes:
            self._keeps_inodes[device] = mounts.keeps_inodes(device)
        return self._keeps_inodes[device]

    def _compare(self, path: bytes, status: os.stat_result, stamp: Stamp) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise self._changed(path, refusals.NOT_A_FILE)
        how = stamp.difference(Stamp(status.st_size, status.st_mtime_ns))
        if how:
            raise self._changed(path, how)

    def _unreadable(self, path: bytes, error: OSError, other_kind: str) -> SourceError:
        """The error for an entry that can't be opened; `other_kind` is the reason if its kind changed."""
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and self._is_behind_link(path):
            return self._changed(path, refusals.BEHIND_LINK)
        # now a folder, a pipe, a socket or a link
        if error.errno in (errno.EINVAL, errno.EISDIR, errno.ESPIPE, errno.ENXIO, errno.ELOOP):
            return self._changed(path, other_kind)
        if error.errno == errno.ENOTDIR and self._exists(path):
            return self._changed(path, other_kind)
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return refusals.missing(self.name(path), error.strerror or str(error))
        return refusals.unreadable(self.name(path), error.strerror or str(error))

    def _is_behind_link(self, path: bytes) -> bool:
        try:
            with beneath.opened(self.root) as root:
                return beneath.is_behind_link(root, path)
        except OSError:
            return False

    def _exists(self, path: bytes) -> bool:
        try:
            with beneath.opened(self.root) as root:
                beneath.lstat(root, path)
        except OSError:
            return False
        return True

    def _changed(self, path: bytes, how: str) -> SourceError:
        return refusals.changed(self.name(path), how)


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A file that is compared with a CAR; see `protocol.OpenFile`."""

    descriptor: int
    stamp: Stamp
    ctime: int
    name: str

    def read_at(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`.

        Raises:
            SourceError: it can't be read.
        """
        try:
            return open_file.read_at(self.descriptor, view, offset)
        except OSError as error:
            raise refusals.unreadable(self.name, error.strerror or str(error)) from error


def _status_seen(stamps: Stamps) -> NDArray[np.int64] | None:
    """What is known of files' status: see `files.read_files`."""
    if stamps.seen is None:
        return None
    return np.column_stack((stamps.sizes, stamps.tokens, stamps.seen))


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    """The parts of a file's status that change when its bytes do."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
