"""Walking a folder in path order: every entry with its kind and stamp, without following links.

No recursion, and no open descriptor per level: folders may be nested deeper than the system's path limit.
"""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import NamedTuple, TypeAlias

from ptolemy_core.errors import SourceError, SourceUnreadableError
from ptolemy_core.kernel.files import open_beneath
from ptolemy_core.kernel.folders import NO_TIME, fits, list_folder
from ptolemy_core.rules.selection import Rules, Scope
from ptolemy_core.source.ahead import Ahead
from ptolemy_core.source.listed import Entry as Entry
from ptolemy_core.source.listed import Listed
from ptolemy_core.source.protocol import BATCH, FolderSeen
from ptolemy_core.source.stamps import wrapped
from ptolemy_core.tree import LEFT_OUT, Kind, paths

UNLISTED = "can't be listed"
"""Start of the reason of a folder that can't be listed."""

OWN = "Ptolemy's own"
"""Start of the reason of a folder that Ptolemy made for itself: its state, or a staging folder."""

OwnFolders: TypeAlias = Mapping[tuple[int, int], str]
"""Folders to leave out, by st_dev and st_ino (whatever their path), with the reason."""

_SPECIAL_FILES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}
_UNKNOWN = "an unknown kind of entry"

SPECIAL = (*_SPECIAL_FILES.values(), _UNKNOWN)
"""Reasons of entries without data of their own: nothing is lost when they are left out."""


class _OwnFolderError(Exception):
    """A folder is left out."""


def walk(root: bytes, rules: Rules | None = None, *, folder: FolderSeen | None = None) -> Iterator[Entry]:
    """All entries below `root` that aren't folders, and its empty folders, in path order.

    An entry that can't be read, including a folder, has a reason.

    Args:
        root: the folder to walk.
        rules: which entries belong to the project; others are skipped as if they didn't exist.
        folder: called with each folder, including root, and its time from before it was listed.

    Raises:
        SourceError: `root` itself isn't a readable folder.
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
) -> Iterator[Listed]:
    """`walk`, in batches of about `size` entries; the folders `own` are left out, with their reason.

    Raises:
        SourceError: see `walk`.
    """
    try:
        top = paths.at_path(root, lambda path, at: os.open(path, _FOLDER, dir_fd=at))
    except OSError as error:
        raise _unscannable(root, error) from error
    try:
        try:
            listed = _noted(_listing(top, b"", own), b"", folder)
        except _OwnFolderError as error:
            raise SourceError(
                f"{paths.display(root)} is {error}, so it can't be scanned: store another folder"
            ) from error
        except OSError as error:
            raise _unscannable(root, error) from error
        first = _Folder(listed, rules, rules.top if rules else None)
        with closing(Ahead(lambda path: _list_beneath(top, path, own))) as ahead:
            yield from _walk(ahead, first, rules, folder, size)
    finally:
        os.close(top)


def _unscannable(root: bytes, error: OSError) -> SourceUnreadableError:
    return SourceUnreadableError(
        f"{paths.display(root)} can't be scanned ({error.strerror}): "
        "check that the folder exists, is mounted, and is readable"
    )


def _list_beneath(top: int, path: bytes, own: OwnFolders | None) -> "_Listing":
    """List a folder beneath the open folder `top`, so that no link leads out of it."""
    descriptor = open_beneath(top, path, _FOLDER)
    try:
        return _listing(descriptor, path, own)
    finally:
        os.close(descriptor)


def _walk(
    ahead: "Ahead[_Listing]", first: "_Folder", rules: Rules | None, note: FolderSeen | None, size: int
) -> Iterator[Listed]:
    """Walk a folder that is listed; `ahead` lists those beneath it."""
    pending = [first]
    batch = Listed()
    more = True
    while pending:
        if more and ahead.is_idle and len(pending[-1].entries) >= _WORTH_A_THREAD:
            following = _following(pending)
            more = following is not None
            if following is not None:
                ahead.begin(following)
        plain, found = pending[-1].step()
        batch.extend(plain)
        if found is None:
            pending.pop()
        else:
            scope = pending[-1].scopes.get(found.path)
            try:
                subfolder = _Folder(_noted(ahead.take(found.path), found.path, note), rules, scope)
            except _OwnFolderError as error:
                batch.append(found._replace(kind=LEFT_OUT, reason=str(error)))
            except OSError as error:
                if error.errno != errno.ENOENT:  # removed since its parent was listed: skipped
                    batch.append(found._replace(kind=LEFT_OUT, reason=f"{UNLISTED}: {error.strerror}"))
            else:
                if subfolder.entries:
                    pending.append(subfolder)
                elif scope is None or scope.included:
                    batch.append(found._replace(kind=LEFT_OUT) if found.reason else found)
        if len(batch) >= size:
            rest = len(batch) - len(batch) % size
            for start in range(0, rest, size):
                yield batch.part(start, start + size)
            batch = batch.part(rest, len(batch))
    if batch:
        yield batch


def _noted(listed: "_Listing", path: bytes, note: FolderSeen | None) -> "_Listing":
    """Tell of a folder, and then that it can't be listed, if so."""
    if note is not None:
        note(path, listed.time)
    if listed.error is not None:
        raise listed.error
    return listed


def _following(pending: "list[_Folder]") -> bytes | None:
    """The path of the next folder that a walk lists."""
    for folder in reversed(pending):
        if (path := folder.next_folder()) is not None:
            return path
    return None


class _Folder:
    """A folder being walked: its entries that belong to the project, its subfolders' scopes, the walk's position."""

    __slots__ = ("_at", "_folders", "entries", "scopes")

    def __init__(self, listed: "_Listing", rules: Rules | None, scope: Scope | None) -> None:
        self.scopes: dict[bytes, Scope] = {}
        entries, folders = listed.entries, listed.folders
        if rules is not None and scope is not None:
            entries = _selected(entries, rules, scope, self.scopes)
            folders = [k for k, kind in enumerate(entries.kinds) if kind == Kind.DIRECTORY]
        self.entries = entries
        self._folders = folders[::-1]
        self._at = 0

    def step(self) -> tuple[Listed, Entry | None]:
        """The entries before the next subfolder, and the subfolder; None at the end."""
        at, end = self._at, self._folders.pop() if self._folders else len(self.entries)
        self._at = end + 1
        return self.entries.part(at, end), self.entries[end] if end < len(self.entries) else None

    def next_folder(self) -> bytes | None:
        """The path of the next subfolder; None if there is none left."""
        return self.entries.paths[self._folders[-1]] if self._folders else None


def _selected(entries: Listed, rules: Rules, scope: Scope, scopes: dict[bytes, Scope]) -> Listed:
    """The entries in a folder with this scope that belong to the project; adds subfolders' scopes to `scopes`."""
    kept = []
    for row, (path, kind) in enumerate(zip(entries.paths, entries.kinds, strict=True)):
        name = paths.name(path)
        if kind != Kind.DIRECTORY:
            if rules.keeps(scope, name):
                kept.append(row)
            continue
        own = rules.enter(scope, name)
        if own is not None:
            scopes[path] = own
            kept.append(row)
    return entries.take(kept)


def entry_at(path: bytes) -> Entry:
    """The entry at `path` itself; its own path is empty.

    Raises:
        SourceError: it doesn't exist, or can't be read.
    """
    try:
        status = os.lstat(path)
        time = status.st_mtime_ns
        mode = status.st_mode if fits(time) else status.st_mode | NO_TIME
        return _entry(Entry(b"", int(Kind.FILE), status.st_size, time), path, None, mode)
    except OSError as error:
        raise SourceUnreadableError(f"{paths.display(path)} can't be read: {error.strerror}") from error


class _Listing(NamedTuple):
    """The entries of a folder, sorted by name, the indexes of those that are folders, and its own time.

    `error` is why it can't be listed though it can be opened.
    """

    entries: Listed
    folders: list[int]
    time: int
    error: OSError | None = None


def _listing(descriptor: int, path: bytes, own: OwnFolders | None) -> _Listing:
    """List an open folder; its time is from before that."""
    prefix = paths.prefix_below(path)
    status = os.fstat(descriptor)
    if own and (status.st_dev, status.st_ino) in own:
        raise _OwnFolderError(own[status.st_dev, status.st_ino])
    time = wrapped(status.st_mtime_ns)
    try:
        found = list_folder(descriptor, prefix)
    except OSError as error:
        return _Listing(Listed(), [], time, error)
    count = len(found.paths)
    entries = Listed(
        found.paths, [int(Kind.FILE)] * count, found.sizes, found.mtimes, [None] * count, [None] * count
    )
    folders = []
    unusual = {mode for mode in set(found.modes) if mode & _USUAL_BITS != _USUAL}
    for k in [k for k, mode in enumerate(found.modes) if mode in unusual] if unusual else ():
        entry = _entry(entries[k], found.paths[k][len(prefix) :], descriptor, found.modes[k])
        entries[k] = entry
        if entry.kind == Kind.DIRECTORY:
            folders.append(k)
    return _Listing(entries, folders, time)


def _entry(found: Entry, name: bytes, folder: int | None, mode: int) -> Entry:
    """The entry with its kind set; a file that isn't readable by everybody costs an extra system call."""
    if mode < 0:
        return found._replace(kind=LEFT_OUT, reason=f"can't be read: {os.strerror(-mode)}")
    if mode & NO_TIME:
        entry = _entry(found._replace(token=0), name, folder, mode & ~NO_TIME)
        # a folder with entries needs no time; the walk leaves it out if it is empty
        kind = entry.kind if entry.kind == Kind.DIRECTORY else LEFT_OUT
        return entry._replace(kind=kind, reason=entry.reason or _BAD_TIME)
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
    return found._replace(kind=LEFT_OUT, size=0, reason=_SPECIAL_FILES.get(form, _UNKNOWN))


_BAD_TIME = (
    "its modification time is before 1677 or after 2262 and can't be stored: set another one with touch"
)

_USUAL_BITS = stat.S_IFMT(0o777777) | 0o444 | NO_TIME
_USUAL = stat.S_IFREG | 0o444
"""A regular file that is readable by everybody: no further check is needed."""

_WORTH_A_THREAD = 100
"""Entries of a folder during whose handling another thread lists the next one."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
