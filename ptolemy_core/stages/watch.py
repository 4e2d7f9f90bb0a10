"""Watching a target folder: a bounded look now and then, which says when a scan is due.

A look compares the modification times of folders with those that the last scan saw: a system call for each of a
bounded number of folders, going on where the look before it ended. A folder's time changes when entries come, go
or are renamed in it, not when a file is written in place: what that leaves unseen is for a full rescan.

Where a folder changed, a scan is due once it rests: the sizes and times of its entries, and of all below new
folders, must stay the same for some seconds.
"""

import hashlib
import heapq
import itertools
import os
import stat
import time
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ptolemy_core.catalog import scans
from ptolemy_core.catalog.schema import folder
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.project import Project
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source.walk import OwnFolders
from ptolemy_core.stages.own_folders import own_folders
from ptolemy_core.tree import SEPARATOR, paths

BUDGET = 20_000
"""Folders that one look compares, and entries that it looks at where something changed."""

SECONDS = 5.0
"""A look ends soon after so long, whatever the budget: a network file system may be slow."""

RETRY = 900.0
"""Seconds until a scan that came to nothing is asked for again."""

_UNCHANGED = "nothing"
"""Stands for the signature of a target in which no change is seen."""

_MOST = 100
"""Changed folders that are kept in mind."""


@dataclass(frozen=True, slots=True)
class State:
    """What a watch keeps between two looks; all of it is text and numbers.

    Attributes:
        base: the project's newest scan, or 0.
        at: the folder, in hex, that this round of looks has come to; None at its start.
        changed: folders that differ from the base, in hex.
        signature: of what is in them.
        moved_at: when the signature was last another one, seconds since 1970.
        asked, asked_at: how often, and when last, a scan was asked for on this base.
        refused: the signature that a refused scan was seen with: until it is another one, none is asked for again.
    """

    base: int = 0
    at: str | None = None
    changed: tuple[str, ...] = ()
    signature: str = ""
    moved_at: float = 0.0
    asked: int = 0
    asked_at: float = 0.0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look found: the state for the next one, whether a scan is due now, and that in words."""

    state: State
    due: bool
    said: str

    def asking(self, now: float) -> State:
        """The state after a scan was asked for."""
        return replace(self.state, asked=self.state.asked + 1, asked_at=now)


def look(catalog: Catalog, project: Project, state: State, now: float, budget: int = BUDGET) -> Look:
    """Look for changes.

    Args:
        catalog: that holds the project.
        project: to look at.
        state: of the look before; State() at first.
        now: seconds since 1970.
        budget: folders and entries to look at.
    """
    base, finished, top, refused = _base(catalog, project.name)
    if base != state.base and refused:
        state = replace(
            state, base=base, refused=state.signature
        )  # it recorded nothing: the rest still holds
    elif base != state.base:
        # a scan that failed is not asked for again at once
        state = State(base) if finished else State(base, asked=state.asked, asked_at=state.asked_at)
    said = f"scan {base} was refused: {refused}"
    try:
        status = os.stat(project.target_bytes)
    except OSError as error:
        return Look(state, False, f"target_dir can't be read ({error.strerror}): is it mounted?")
    if (not finished and not refused) or top is None:
        if refused:
            return Look(state, False, said)
        why = "there is no finished scan with its folders yet"
        return _when_retried(state, now, why)
    deadline = time.monotonic() + SECONDS
    found, at, compared = _differing(catalog, project, state.at, budget, deadline)
    if status.st_mtime_ns != top:
        found.insert(0, "")
    changed = tuple(dict.fromkeys([*state.changed, *found]))[:_MOST]
    state = replace(state, at=at, changed=changed)
    if not changed:
        if refused:
            return Look(state if at else replace(state, refused=_UNCHANGED), False, said)
        return Look(state, False, f"nothing changed in {compared} folders" + (", more to come" if at else ""))
    signature = _signature(catalog, project, [bytes.fromhex(path) for path in changed], budget, deadline)
    if signature != state.signature or now < state.moved_at:
        state = replace(state, signature=signature, moved_at=now)
    named = f"{paths.display(bytes.fromhex(changed[0])) or 'the target folder'} changed"
    if len(changed) > 1:
        named += f", and {len(changed) - 1} more folders"
    if refused:  # by what is there: a scan of the same again would be refused again
        if not state.refused:
            state = replace(state, refused=signature)
        if state.refused == signature:
            return Look(state, False, f"{said}; nothing changed since")
    rest = now - state.moved_at
    if rest < project.quiet_seconds:
        return Look(state, False, f"{named}; quiet for {rest:.0f} of {project.quiet_seconds} seconds")
    return _when_retried(state, now, named)


def _when_retried(state: State, now: float, why: str) -> Look:
    wait = state.asked_at + RETRY - now
    if state.asked and 0 < wait <= RETRY:
        return Look(
            state, False, f"{why}; the scan asked for came to nothing, next try in {wait:.0f} seconds"
        )
    return Look(state, True, why)


def _base(catalog: Catalog, name: str) -> tuple[int, bool, int | None, str | None]:
    """The newest scan, whether it was finished, what is known of the target folder itself, and why it was refused."""
    newest = scans.last(catalog, name)
    top = sa.select(folder.c.mtime).where(folder.c.project == name, folder.c.path == b"")
    with catalog.read() as connection:
        mtime = connection.scalar(top)
    return (
        (0, False, None, None) if newest is None else (newest.number, newest.finished, mtime, newest.refused)
    )


def _differing(
    catalog: Catalog, project: Project, at: str | None, budget: int, deadline: float
) -> tuple[list[str], str | None, int]:
    """Folders, in hex, that aren't as the scan saw them; where to go on; and how many were compared."""
    query = sa.select(folder.c.path, folder.c.mtime).where(folder.c.project == project.name)
    if at is not None:
        query = query.where(folder.c.path > bytes.fromhex(at))
    with catalog.read() as connection:
        rows = connection.execute(query.order_by(folder.c.path).limit(budget)).all()
    found = []
    for count, row in enumerate(rows, 1):
        path = bytes(row.path)
        if path and _mtime(paths.real_path(project.target_bytes, path)) != row.mtime:
            found.append(path.hex())
        if count < len(rows) and not count % 64 and time.monotonic() > deadline:
            return found, path.hex(), count
    return found, bytes(rows[-1].path).hex() if len(rows) == budget else None, len(rows)


def _mtime(path: bytes) -> int | None:
    """st_mtime_ns of a folder; None if it is none."""
    try:
        status = paths.at_path(path, lambda p, at: os.stat(p, dir_fd=at, follow_symlinks=False))
    except OSError:
        return None
    return status.st_mtime_ns if stat.S_ISDIR(status.st_mode) else None


def _signature(catalog: Catalog, project: Project, changed: list[bytes], budget: int, deadline: float) -> str:
    """A digest of the entries of these folders and of all below new ones; the folders used last come first."""
    root, rules = project.target_bytes, project.rules
    heap = [(-(_mtime(paths.real_path(root, path)) or 0), path) for path in changed]
    heapq.heapify(heap)
    own = own_folders(catalog, project)
    digest = hashlib.sha256()
    while heap and budget > 0 and time.monotonic() < deadline:
        mtime, path = heapq.heappop(heap)
        digest.update(repr((mtime, path)).encode())
        entries = _entries(root, path, rules, budget, own)
        budget -= len(entries)
        digest.update(repr(entries).encode())
        below = {path + SEPARATOR + name if path else name: time for name, kind, _, time in entries if kind}
        known = _known(catalog, project.name, list(below))
        for inner in below.keys() - known:
            heapq.heappush(heap, (-below[inner], inner))
    return digest.hexdigest()


def _entries(
    root: bytes, path: bytes, rules: Rules | None, most: int, own: OwnFolders
) -> list[tuple[bytes, bool, int, int]]:
    """Name, whether it is a folder, size and mtime of entries of a folder that belong in, at most so many."""
    scope = rules.scope(path) if rules else None
    if rules and scope is None:
        return []
    out = []
    try:
        descriptor = paths.at_path(
            paths.real_path(root, path), lambda p, at: os.open(p, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        )
        try:
            with os.scandir(descriptor) as listed:
                for entry in itertools.islice(listed, most):
                    name = os.fsencode(entry.name)
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    is_folder = stat.S_ISDIR(status.st_mode)
                    if is_folder and (status.st_dev, status.st_ino) in own:
                        continue  # Ptolemy's state never rests
                    if rules and scope:
                        belongs = rules.enter(scope, name) if is_folder else rules.keeps(scope, name)
                        if not belongs:
                            continue
                    size = 0 if is_folder else status.st_size
                    out.append((name, is_folder, size, status.st_mtime_ns))
        finally:
            os.close(descriptor)
    except OSError as error:
        return [(str(error).encode(), False, 0, 0)]
    return sorted(out)


def _known(catalog: Catalog, project: str, below: list[bytes]) -> set[bytes]:
    """Which of these folders the scan saw."""
    found: set[bytes] = set()
    with catalog.read() as connection:
        for low in range(0, len(below), 500):
            part = below[low : low + 500]
            query = sa.select(folder.c.path).where(folder.c.project == project, folder.c.path.in_(part))
            found.update(bytes(path) for path in connection.scalars(query))
    return found
