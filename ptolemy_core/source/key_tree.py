"""Keys of an object store as a tree: each key's path, the catalog's order, and what a tree can't hold.

A store lists `a-b` before `a/b`; the catalog's order is that of paths, where `a/b` comes first. So entries are sorted
(`sorted_runs`), and then what only neighbours can tell is decided: whether a folder is empty, and whether a key is
both a file and a folder. Nothing is merged silently: such a key is left out, with its reason.
"""

from collections.abc import Iterable, Iterator

from ptolemy_core.rules.selection import Rules, Scope
from ptolemy_core.source.protocol import Entry
from ptolemy_core.tree import LEFT_OUT, SEPARATOR, Kind

MAX_NAME = 255
"""Bytes of a name at most, as on file systems: what is stored is to be restored."""

_CONTROL = frozenset(range(32)) | {127}
_BOTH = "is a key and also a folder of other keys: a tree can't hold both"


def entry_of(key: bytes, size: int, token: int, reason: str | None = None) -> Entry:
    """The entry of a key below the source's prefix; a key that a tree can't hold has a reason."""
    entry = _entry_of(key, size, token)
    return entry if reason is None else entry._replace(kind=LEFT_OUT, reason=reason)


def _entry_of(key: bytes, size: int, token: int) -> Entry:
    if not _CONTROL.isdisjoint(key):
        shown = b"".join(b"\\x%02x" % c if c in _CONTROL else bytes((c,)) for c in key)
        return _left_out(shown, size, token, "its key has a control character")
    if key.endswith(b"/") and not size:
        key, kind = key[:-1], Kind.DIRECTORY
    else:
        kind = Kind.FILE
    names = key.split(b"/")
    if b"" in names:
        why = (
            "ends in a slash and isn't empty"
            if names[-1] == b"" and b"" not in names[:-1]
            else "has an empty name"
        )
        return _left_out(key, size, token, f"its key {why}, which no file can have")
    if b"." in names or b".." in names:
        return _left_out(key, size, token, "its key has the name . or .., which no file can have")
    if len(key) > MAX_NAME and max(map(len, names)) > MAX_NAME:
        return _left_out(key, size, token, f"a name in its key is longer than {MAX_NAME} bytes")
    path = key.replace(b"/", SEPARATOR)
    return Entry(path, int(kind), size, token)


def _left_out(key: bytes, size: int, token: int, reason: str) -> Entry:
    return Entry(key.replace(b"/", SEPARATOR), LEFT_OUT, size, token, None, reason)


def settled(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Sorted entries without markers of folders that aren't empty; a file with entries below it is left out."""
    held: Entry | None = None
    for entry in entries:
        if held is not None:
            if entry.path == held.path:
                held = _twice(held, entry)
                continue
            below = entry.path.startswith(held.path + SEPARATOR)
            if below and held.kind == Kind.FILE:
                yield held._replace(kind=LEFT_OUT, reason=_BOTH)
            elif not (below and held.kind == Kind.DIRECTORY):
                yield held
        held = entry
    if held is not None:
        yield held


def _twice(one: Entry, other: Entry) -> Entry:
    """How to treat two keys with one path, such as `a` and the empty `a/`, or of one that a list names twice."""
    kept = one if one.kind != Kind.DIRECTORY else other
    why = _BOTH if Kind.DIRECTORY in (one.kind, other.kind) else "is there twice"
    return kept._replace(kind=LEFT_OUT, reason=kept.reason or why)


def belonging(entries: Iterable[Entry], rules: Rules | None) -> Iterator[Entry]:
    """The entries that belong to a project; the scope of a folder is found once for all that is next to it."""
    if rules is None:
        yield from entries
        return
    known: bytes | None = None
    scope: Scope | None = rules.top
    for entry in entries:
        folder, _, name = entry.path.rpartition(SEPARATOR)
        if folder != known:
            known, scope = folder, rules.scope(folder)
        if scope is None:
            continue
        if entry.kind == Kind.DIRECTORY:
            inner = rules.enter(scope, name)
            if inner is not None and inner.included:
                yield entry
        elif rules.keeps(scope, name):
            yield entry
