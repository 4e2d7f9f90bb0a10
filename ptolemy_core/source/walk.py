"""Walking a folder in path order: every entry with its kind and stamp, no link followed.

No recursion, and no open descriptor a level: folders may be nested deeper than the system's path limit.
"""

import errno
import itertools
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ptolemy_core.errors import SourceError, SourceUnreadableError
from ptolemy_core.kernel.files import open_beneath
from ptolemy_core.kernel.folders import NO_TIME, fits, list_folder
from ptolemy_core.rules.selection import Rules, Scope
from ptolemy_core.source.protocol import BATCH, FolderSeen
from ptolemy_core.source.protocol import Entry as Entry
from ptolemy_core.source.stamps import wrapped
from ptolemy_core.tree import LEFT_OUT, SEPARATOR, Kind, paths

UNLISTED = "can't be listed"
"""How the reason of a folder starts whose entries can't be known."""

OWN = "Ptolemy's own"
"""How the reason of a folder starts that Ptolemy made for itself: its state, or a staging folder."""

OwnFolders: TypeAlias = Mapping[tuple[int, int], str]
"""Folders by st_dev and st_ino, however a path leads to them, with the reason why they are left out."""

_ODD = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_UNKNOWN = "an unknown kind of entry"

SPECIAL = (*_ODD.values(), _UNKNOWN)
"""Reasons of entries that hold no data of their own: nothing is lost where they are left out."""


class _OwnFolderError(Exception):
    """A folder is left out."""


def walk(root: bytes, rules: Rules | None = None, *, folder: FolderSeen | None = None) -> Iterator[Entry]:
    """All entries below `root` that aren't folders, and its empty folders, in path order.

    An entry that can't be read, a folder too, comes with its reason.

    Args:
        root: the folder to walk.
        rules: of what belongs in; the walk is that of the tree without the rest.
        folder: called with each folder before it is listed, root too.

    Raises:
        SourceError: `root` itself is no readable folder.
    """
    for batch in walk_batches(root, rules, folder=folder):
        yield from batch


def walk_batches(
    root: bytes,
    rules: Rules | None = None,
    *,
    folder: FolderSeen | None = None,
    own: OwnFolders | None = None,
    size: int = BATCH,
) -> Iterator[list[Entry]]:
    """`walk`, some `size` entries at a time; the folders `own` aren't entered, and come with that reason.

    Raises:
        SourceError: as `walk`.
    """
    try:
        top = paths.at_path(root, lambda path, at: os.open(path, _FOLDER, dir_fd=at))
    except OSError as error:
        raise _unscannable(root, error) from error
    try:
        try:
            listed = _listing(top, b"", folder, own)
        except _OwnFolderError as error:
            raise SourceError(
                f"{paths.display(root)} is {error}, so it can't be scanned: store another folder"
            ) from error
        except OSError as error:
            raise _unscannable(root, error) from error
        first = _Folder(*listed, rules, rules.top if rules else None)
        yield from _walk(top, first, rules, folder, own, size)
    finally:
        os.close(top)


def _unscannable(root: bytes, error: OSError) -> SourceUnreadableError:
    return SourceUnreadableError(
        f"{paths.display(root)} can't be scanned ({error.strerror}): "
        "check that the folder is there, mounted, and readable"
    )


def _walk(
    top: int,
    first: "_Folder",
    rules: Rules | None,
    note: FolderSeen | None,
    own: OwnFolders | None,
    size: int,
) -> Iterator[list[Entry]]:
    """Walk the open folder `top`; each folder beneath is opened from there, so that no link leads out of it."""
    pending = [first]
    batch: list[Entry] = []
    while pending:
        here = pending[-1]
        plain, found = here.step()
        batch += plain
        if found is None:
            pending.pop()
        else:
            scope = here.scopes.get(found.path)
            try:
                descriptor = open_beneath(top, found.path, _FOLDER)
                try:
                    below = _Folder(*_listing(descriptor, found.path, note, own), rules, scope)
                finally:
                    os.close(descriptor)
            except _OwnFolderError as error:
                batch.append(found._replace(kind=LEFT_OUT, reason=str(error)))
            except OSError as error:
                if error.errno != errno.ENOENT:  # gone since its parent was listed: it just isn't there
                    batch.append(found._replace(kind=LEFT_OUT, reason=f"{UNLISTED}: {error.strerror}"))
            else:
                if below.entries:
                    pending.append(below)
                elif scope is None or scope.included:
                    batch.append(found._replace(kind=LEFT_OUT) if found.reason else found)
        while len(batch) >= size:
            yield batch[:size]
            batch = batch[size:]
    if batch:
        yield batch


class _Folder:
    """A folder under way: what of its entries belongs in, the scopes of its sub-folders, where the walk is."""

    __slots__ = ("_at", "_folders", "entries", "scopes")

    def __init__(
        self, entries: list[Entry], folders: list[int], rules: Rules | None, scope: Scope | None
    ) -> None:
        self.scopes: dict[bytes, Scope] = {}
        if rules is not None and scope is not None:
            entries = _ruled(entries, rules, scope, self.scopes)
            folders = [k for k, entry in enumerate(entries) if entry.kind == Kind.DIRECTORY]
        self.entries = entries
        self._folders = iter(folders)
        self._at = 0

    def step(self) -> tuple[list[Entry], Entry | None]:
        """The entries before the next sub-folder, and that; None at the end."""
        at, end = self._at, next(self._folders, len(self.entries))
        self._at = end + 1
        return self.entries[at:end], self.entries[end] if end < len(self.entries) else None


def _ruled(entries: Sequence[Entry], rules: Rules, scope: Scope, scopes: dict[bytes, Scope]) -> list[Entry]:
    """The entries of a folder of this scope that belong in; the folders' own scopes are noted."""
    kept = []
    for entry in entries:
        name = entry.path.rpartition(SEPARATOR)[2]
        if entry.kind != Kind.DIRECTORY:
            if rules.keeps(scope, name):
                kept.append(entry)
            continue
        own = rules.enter(scope, name)
        if own is not None:
            scopes[entry.path] = own
            kept.append(entry)
    return kept


def look(path: bytes) -> Entry:
    """The entry at `path` itself; its own path is empty.

    Raises:
        SourceError: there is none, or it can't be read.
    """
    try:
        is_ = os.lstat(path)
        time = is_.st_mtime_ns
        mode = is_.st_mode if fits(time) else is_.st_mode | NO_TIME
        return _entry(Entry(b"", int(Kind.FILE), is_.st_size, time), path, None, mode)
    except OSError as error:
        raise SourceUnreadableError(f"{paths.display(path)} can't be read: {error.strerror}") from error


def _listing(
    descriptor: int, path: bytes, note: FolderSeen | None, own: OwnFolders | None
) -> tuple[list[Entry], list[int]]:
    """The entries of an open folder, sorted by name, and which of them are folders, empty or not."""
    prefix = path + SEPARATOR if path else b""
    if note is not None or own:
        status = os.fstat(descriptor)
        if own and (status.st_dev, status.st_ino) in own:
            raise _OwnFolderError(own[status.st_dev, status.st_ino])
        if note is not None:
            note(path, wrapped(status.st_mtime_ns))
    found = list_folder(descriptor, prefix)
    modes = np.array(found.modes, dtype=np.int64)
    usual = modes & _USUAL_BITS == _USUAL
    entries = list(map(Entry, found.paths, itertools.repeat(int(Kind.FILE)), found.sizes, found.mtimes))
    folders = []
    for k in np.flatnonzero(~usual).tolist():
        name = found.paths[k][len(prefix) :]
        entries[k] = _entry(entries[k], name, descriptor, found.modes[k])
        if entries[k].kind == Kind.DIRECTORY:
            folders.append(k)
    return entries, folders


def _entry(found: Entry, name: bytes, folder: int | None, mode: int) -> Entry:
    """The entry by what it is; a file that isn't everybody's to read costs a system call to ask."""
    if mode < 0:
        return found._replace(kind=LEFT_OUT, reason=f"can't be read: {os.strerror(-mode)}")
    if mode & NO_TIME:
        entry = _entry(found._replace(token=0), name, folder, mode & ~NO_TIME)
        # a folder with something in it needs no time: `walk` leaves it out if it is empty
        kind = entry.kind if entry.kind == Kind.DIRECTORY else LEFT_OUT
        return entry._replace(kind=kind, reason=entry.reason or _ODD_TIME)
    form = stat.S_IFMT(mode)
    if form == stat.S_IFREG:
        if mode & 0o444 != 0o444 and not os.access(name, os.R_OK, dir_fd=folder):
            return found._replace(kind=LEFT_OUT, reason="no permission to read it")
        return found
    if form == stat.S_IFDIR:
        return found._replace(kind=int(Kind.DIRECTORY), size=0)
    if form == stat.S_IFLNK:
        try:
            target = os.readlink(name, dir_fd=folder)
        except OSError as error:
            return found._replace(kind=LEFT_OUT, size=0, reason=f"can't be read: {error.strerror}")
        return found._replace(kind=int(Kind.SYMLINK), size=len(target), target=target)
    return found._replace(kind=LEFT_OUT, size=0, reason=_ODD.get(form, _UNKNOWN))


_ODD_TIME = "its modification time is before 1677 or after 2262 and can't be kept: set another one with touch"

_USUAL_BITS = stat.S_IFMT(0o777777) | 0o444 | NO_TIME
_USUAL = stat.S_IFREG | 0o444
"""A regular file that everybody may read: nothing more to ask."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
