"""Watching a target folder: a bounded look now and then, which says when a scan is due.

A look compares the modification times of folders with those that the last scan saw: a system call for each of a
bounded number of folders, going on where the look before it ended. A folder's time changes when entries come, go
or are renamed in it, not when a file is written in place: what that leaves unseen is for a full rescan.

A URL has no such times: a scan of it is due at an interval, unless a short listing is the one before the last scan.

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

from ptolemy_core import urls
from ptolemy_core.catalog import folders, scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import PtolemyError
from ptolemy_core.kernel.files import open_beneath
from ptolemy_core.project import Project
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source import beneath
from ptolemy_core.source.stamps import wrapped
from ptolemy_core.source.walk import OwnFolders
from ptolemy_core.stages.own_folders import own_folders
from ptolemy_core.tree import paths

BUDGET = 20_000
"""Folders that one look compares, and entries that it looks at where something changed."""

SECONDS = 5.0
"""A look ends soon after so long, whatever the budget: a network file system may be slow."""

RETRY = 900.0
"""Seconds until a scan that came to nothing is asked for again."""

_UNCHANGED = "nothing"
"""Stands for the signature of a target in which no change is seen."""

_MANY = "many"
"""Stands for the signature of a store with so many keys that a scan is as good as a look."""

_LISTED = ("s3://", "gs://", "az://")
"""What URLs begin with that are listed with a request for a thousand keys."""

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
        catalog: where the project is.
        project: to look at.
        state: of the look before; State() at first.
        now: seconds since 1970.
        budget: folders and entries to look at.
    """
    newest = scans.last(catalog, project.name)
    if project.is_remote:
        return _when_time_is_over(project, state, newest, now)
    base, finished = (newest.number, newest.finished) if newest else (0, False)
    refused = f"scan {base} was refused: {newest.refused}" if newest and newest.refused else ""
    top = folders.top_token(catalog, project.name)
    if base != state.base and refused:
        state = replace(
            state, base=base, refused=state.signature
        )  # it recorded nothing: the rest still holds
    elif base != state.base:
        # a scan that failed is not asked for again at once
        state = State(base) if finished else State(base, asked=state.asked, asked_at=state.asked_at)
    try:
        with beneath.opened(project.target_bytes) as root:
            if (not finished and not refused) or (top is None and not refused):
                return _when_retried(state, now, "there is no finished scan with its folders yet")
            if top is None:
                return Look(state, False, refused)
            found = _compare(catalog, project, root, top, state, now, budget)
            return _unless_refused(found, refused) if refused else found
    except OSError as error:
        return Look(state, False, f"target_dir can't be read ({error.strerror}): is it mounted?")


def _when_time_is_over(project: Project, state: State, newest: scans.LastScan | None, now: float) -> Look:
    """A URL is looked at some minutes after the start of its last scan, or the last look.

    A short listing that is the same as before the last scan saves the next scan.
    """
    number = newest.number if newest else 0
    if number != state.base:
        holds = newest is not None and newest.finished and not newest.refused
        state = State(number, signature=state.signature if holds else "")
    why = "there is no scan yet"
    if newest is not None:
        wait = max(newest.started, state.moved_at) + 60 * project.rescan_minutes - now
        if 0 < wait <= 60 * project.rescan_minutes:
            said = f"the next look is due in {wait / 60:.0f} of {project.rescan_minutes} minutes"
            return Look(state, False, said)
        why = f"the last scan was {project.rescan_minutes} minutes ago or more"
    found = _when_retried(state, now, why)
    if not found.due or state.signature == _MANY:
        return found
    signature = _listing(project)
    if signature and signature == state.signature and not state.asked:
        return Look(replace(state, moved_at=now), False, "its listing is the one before the last scan")
    return replace(found, state=replace(state, signature=signature))


def _listing(project: Project) -> str:
    """A digest of a store's listing and of what a scan makes of it; _MANY if that isn't cheap."""
    if not project.target_dir.startswith(_LISTED):
        return _MANY
    from ptolemy_core.source.remote import open_remote  # it loads what opens URLs

    try:
        listed = open_remote(urls.parse(project.target_dir), project.source_profile).digest(BUDGET, SECONDS)
    except PtolemyError:
        return ""  # the scan will say it
    rules = (project.include, project.exclude, project.hidden, project.on_error)
    text = repr((project.target_dir, rules, listed))
    return _MANY if listed is None else hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _compare(
    catalog: Catalog, project: Project, root: int, top: int, state: State, now: float, budget: int
) -> Look:
    """Compare folders with those of the last scan; the target folder, open as `root`, had the token `top`."""
    deadline = time.monotonic() + SECONDS
    found, at, compared = _differing(catalog, project, root, state.at, budget, deadline)
    if wrapped(os.fstat(root).st_mtime_ns) != top:
        found.insert(0, "")
    changed = tuple(dict.fromkeys([*state.changed, *found]))[:_MOST]
    state = replace(state, at=at, changed=changed)
    if not changed:
        return Look(state, False, f"nothing changed in {compared} folders" + (", more to come" if at else ""))
    folders = [bytes.fromhex(path) for path in changed]
    signature = _signature(catalog, project, root, folders, budget, deadline)
    if signature != state.signature or now < state.moved_at:
        state = replace(state, signature=signature, moved_at=now)
    named = f"{paths.display(bytes.fromhex(changed[0])) or 'the target folder'} changed"
    if len(changed) > 1:
        named += f", and {len(changed) - 1} more folders"
    rest = now - state.moved_at
    if rest < project.quiet_seconds:
        return Look(state, False, f"{named}; quiet for {rest:.0f} of {project.quiet_seconds} seconds")
    return _when_retried(state, now, named)


def _unless_refused(found: Look, refused: str) -> Look:
    """A scan of what was refused would be refused again: one is due only once something else is there."""
    state = found.state
    if not state.changed:
        return Look(state if state.at else replace(state, refused=_UNCHANGED), False, refused)
    if not state.refused:
        state = replace(state, refused=state.signature)
    if state.refused == state.signature:
        return Look(state, False, f"{refused}; nothing changed since")
    return found


def _when_retried(state: State, now: float, why: str) -> Look:
    wait = state.asked_at + RETRY - now
    if state.asked and 0 < wait <= RETRY:
        return Look(
            state, False, f"{why}; the scan asked for came to nothing, next try in {wait:.0f} seconds"
        )
    return Look(state, True, why)


def _differing(
    catalog: Catalog, project: Project, root: int, at: str | None, budget: int, deadline: float
) -> tuple[list[str], str | None, int]:
    """Folders, in hex, that aren't as the scan saw them; where to resume; and how many were compared."""
    rows = folders.after(catalog, project.name, None if at is None else bytes.fromhex(at), budget)
    found = []
    for count, (path, token) in enumerate(rows, 1):
        if path and _token(root, path) != token:
            found.append(path.hex())
        if count < len(rows) and not count % 64 and time.monotonic() > deadline:
            return found, path.hex(), count
    return found, rows[-1][0].hex() if len(rows) == budget else None, len(rows)


def _token(root: int, path: bytes) -> int | None:
    """What the scan's walk notes of a folder beneath the open target; None if it isn't one that can be reached."""
    try:
        status = beneath.lstat(root, path)
    except OSError:
        return None
    return wrapped(status.st_mtime_ns) if stat.S_ISDIR(status.st_mode) else None


def _signature(
    catalog: Catalog, project: Project, root: int, changed: list[bytes], budget: int, deadline: float
) -> str:
    """A digest of the entries of these folders and of all below new ones; the folders used last come first."""
    heap = [(-(_token(root, path) or 0), path) for path in changed]
    heapq.heapify(heap)
    own = own_folders(catalog, project)
    digest = hashlib.sha256()
    while heap and budget > 0 and time.monotonic() < deadline:
        token, path = heapq.heappop(heap)
        digest.update(repr((token, path)).encode())
        entries = _entries(root, path, project.rules, budget, own)
        budget -= len(entries)
        digest.update(repr(entries).encode())
        below = {paths.join(path, name): time for name, kind, _, time in entries if kind}
        known = folders.known(catalog, project.name, list(below))
        for inner in below.keys() - known:
            heapq.heappush(heap, (-below[inner], inner))
    return digest.hexdigest()


def _entries(
    root: int, path: bytes, rules: Rules | None, most: int, own: OwnFolders
) -> list[tuple[bytes, bool, int, int]]:
    """Name, whether it is a folder, size and token of the included entries of a folder, at most `most`."""
    scope = rules.scope(path) if rules else None
    if rules and scope is None:
        return []
    out = []
    try:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = open_beneath(root, path, flags) if path else os.open(b".", flags, dir_fd=root)
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
                    out.append((name, is_folder, size, wrapped(status.st_mtime_ns)))
        finally:
            os.close(descriptor)
    except OSError as error:
        return [(str(error).encode(), False, 0, 0)]
    return sorted(out)
