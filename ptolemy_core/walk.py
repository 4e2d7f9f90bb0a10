"""Walking a folder in path order: every entry with its kind, size and mtime, no link followed.

No recursion, and no open descriptor a level: folders may be nested deeper than the system's path limit.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ptolemy_core import paths
from ptolemy_core.errors import SourceError
from ptolemy_core.layout import Kind
from ptolemy_core.layout.items import SEPARATOR
from ptolemy_core.rules import Rules, Scope

LEFT_OUT = -1
"""Kind of an entry that can't go into a CAR: its reason says why."""

UNLISTED = "can't be listed"
"""How the reason of a folder starts whose entries can't be known."""

_ODD = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class Entry(NamedTuple):
    """An entry found by a walk.

    `path` is NUL-joined below the walk's root; `kind` a `Kind` or LEFT_OUT; `size` st_size in bytes (of a
    link: its target's length); `mtime` st_mtime_ns; `target` a link's; `reason` why it is left out.
    """

    path: bytes
    kind: int
    size: int
    mtime: int
    target: bytes | None = None
    reason: str | None = None


def walk(
    root: bytes, rules: Rules | None = None, *, folder: Callable[[bytes, int], None] | None = None
) -> Iterator[Entry]:
    """All entries below `root` that aren't folders, and its empty folders, in path order.

    An entry that can't be read, a folder too, comes with its reason.

    Args:
        root: the folder to walk.
        rules: of what belongs in; the walk is that of the tree without the rest.
        folder: called with the path and the st_mtime_ns of each folder before it is listed, root too.

    Raises:
        SourceError: `root` itself is no readable folder.
    """
    try:
        pending = _listing(root, b"", folder)
    except OSError as error:
        raise SourceError(
            f"{paths.display(root)} can't be scanned ({error.strerror}): "
            "check that the folder is there, mounted, and readable"
        ) from error
    scopes: dict[bytes, Scope] = {}
    if rules is not None:
        pending = _ruled(pending, rules, rules.top, scopes)
    pending.reverse()
    while pending:
        found = pending.pop()
        if found.kind != Kind.DIRECTORY:
            yield found
            continue
        scope = scopes.pop(found.path, None)
        try:
            below = _listing(paths.real_path(root, found.path), found.path, folder)
        except OSError as error:
            if error.errno != errno.ENOENT:  # gone since its parent was listed: it just isn't there
                yield found._replace(kind=LEFT_OUT, reason=f"{UNLISTED}: {error.strerror}")
            continue
        if rules is not None and scope is not None:
            below = _ruled(below, rules, scope, scopes)
        if below:
            below.reverse()
            pending += below
        elif scope is None or scope.included:
            yield found


def _ruled(entries: list[Entry], rules: Rules, scope: Scope, scopes: dict[bytes, Scope]) -> list[Entry]:
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
    """The entry that stands at `path` itself, its own path empty.

    Raises:
        SourceError: there is none, or it can't be read.
    """
    try:
        return _entry(b"", path, None, os.lstat(path))
    except OSError as error:
        raise SourceError(f"{paths.display(path)} can't be read: {error.strerror}") from error


def _listing(folder: bytes, path: bytes, note: Callable[[bytes, int], None] | None) -> list[Entry]:
    """The entries of one folder, sorted by name; sub-folders as DIRECTORY, empty or not."""
    prefix = path + SEPARATOR if path else b""
    descriptor = paths.at_path(folder, lambda p, at: os.open(p, _FOLDER, dir_fd=at))
    out = []
    try:
        if note is not None:
            note(path, os.fstat(descriptor).st_mtime_ns)
        for name in os.listdir(descriptor):
            raw = os.fsencode(name)
            try:
                status = os.stat(raw, dir_fd=descriptor, follow_symlinks=False)
                out.append(_entry(prefix + raw, raw, descriptor, status))
            except OSError as error:
                if error.errno != errno.ENOENT:  # gone between listing and look: it just isn't there
                    out.append(Entry(prefix + raw, LEFT_OUT, 0, 0, reason=f"can't be read: {error.strerror}"))
    finally:
        os.close(descriptor)
    out.sort()
    return out


def _entry(path: bytes, name: bytes, folder: int | None, status: os.stat_result) -> Entry:
    mode = stat.S_IFMT(status.st_mode)
    if mode == stat.S_IFREG:
        # asking costs a system call a file: not where everybody may read
        if status.st_mode & 0o444 != 0o444 and not os.access(name, os.R_OK, dir_fd=folder):
            return Entry(
                path, LEFT_OUT, status.st_size, status.st_mtime_ns, reason="no permission to read it"
            )
        return Entry(path, Kind.FILE, status.st_size, status.st_mtime_ns)
    if mode == stat.S_IFDIR:
        return Entry(path, Kind.DIRECTORY, 0, status.st_mtime_ns)
    if mode == stat.S_IFLNK:
        target = os.readlink(name, dir_fd=folder)
        return Entry(path, Kind.SYMLINK, len(target), status.st_mtime_ns, target)
    return Entry(
        path, LEFT_OUT, 0, status.st_mtime_ns, reason=f"{_ODD.get(mode, 'an unknown kind of entry')}"
    )


_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
