"""What a walk found against what earlier scans left, both in path order: what is new, changed and gone.

Nothing is written here: changes are collected, in a temporary file where they are many, until the whole target is
walked and the scan knows that it may record them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ptolemy_core.catalog.scans import Change, KnownPage, LiveTotals
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source.listed import Entry, Listed, listed
from ptolemy_core.source.walk import OWN, UNLISTED
from ptolemy_core.stages.spill import Spill
from ptolemy_core.stages.tally import totals_of
from ptolemy_core.tree import Kind, paths

BATCH = 10_000
"""Changes that are written at once."""


@dataclass(slots=True)
class Counts:
    """What a merge found: see `scan.ScanResult`."""

    added: int = 0
    changed: int = 0
    gone: int = 0
    returned: int = 0
    retried: int = 0


@dataclass(slots=True)
class Losses:
    """What of it was there before and isn't any more.

    Attributes:
        known: entries that earlier scans left, but those left out.
        intended: of those gone, what somebody wanted gone: by the project's rules, by `delete_source`, or an empty
            folder that isn't empty any more.
        lost: the others that are gone.
        below: how many of them were below each of these folders; keys end with a separator.
    """

    below: dict[bytes, int]
    known: int = 0
    intended: int = 0
    lost: int = 0

    @property
    def percent(self) -> float:
        """The share of what was expected that is lost."""
        return 100 * self.lost / max(1, self.known - self.intended)


@dataclass(frozen=True, slots=True)
class Expected:
    """What a merge must know of a project beside its rows.

    Attributes:
        rules: that select what is stored.
        deleted: ids of rows whose entry was deleted by `delete_source`.
        mounts: folders that other file systems were mounted on.
    """

    rules: Rules | None = None
    deleted: frozenset[int] = field(default=frozenset())
    mounts: tuple[bytes, ...] = ()


_NONE = KnownPage(Listed(), (), (), 0)


class _Known(NamedTuple):
    """A row of the catalog."""

    entry: Entry
    id: int
    withdrawn: bool

    @property
    def path(self) -> bytes:
        return self.entry.path


class Merge:
    """Takes a walk's entries, and says what changes they make of the known ones."""

    def __init__(self, known: Iterator[KnownPage], expected: Expected, changes: Spill[Change]) -> None:
        """Merge into what earlier scans left; `changes` takes what has to be written."""
        self.counts = Counts()
        self.losses = Losses({paths.prefix_below(path): 0 for path in expected.mounts})
        self.live = LiveTotals()
        self._rules = expected.rules
        self._deleted = expected.deleted
        self._changes = changes
        self._known = known
        self._page = _NONE
        self._at = 0
        self._own: tuple[bytes, ...] = ()
        self._turn()
        self._new = Listed()
        self._gone: list[int] = []

    def _turn(self) -> None:
        self._page, self._at = next(self._known, _NONE), 0
        self.losses.known += self._page.stored

    def _next(self) -> _Known | None:
        """The catalog's next row that the walk hasn't passed."""
        at, page = self._at, self._page
        return _Known(page.entries[at], page.ids[at], page.withdrawn[at]) if at < len(page.ids) else None

    def _pass(self, count: int = 1) -> None:
        self._at += count
        if self._at >= len(self._page.ids):
            self._turn()

    def meet(self, batch: Listed) -> int:
        """Take the walk's next entries; returns the bytes of the files among them."""
        passed = totals_of(batch)
        self.live += passed
        at = 0
        while at < len(batch):
            if self._at >= len(self._page.ids):
                self._new.extend(batch.part(at, len(batch)) if at else batch)
                self.counts.added += len(batch) - at
                break
            same = self._unchanged(batch, at)
            if same:
                self._pass(same)
                at += same
            else:
                self._meet_news(batch[at])
                at += 1
            # of several unchanged entries only the last can have rows below it that the walk doesn't meet
            reason = batch.reasons[at - 1]
            if reason is not None:
                below = paths.prefix_below(batch.paths[at - 1])
                if reason.startswith(UNLISTED):
                    self._pass_below(below)
                elif reason.startswith(OWN):
                    self._own = (below,)
        if len(self._new) + len(self._gone) >= BATCH:
            self._flush()
        return passed.data_bytes

    def _unchanged(self, batch: Listed, at: int) -> int:
        """How many entries from `at` on are the catalog's next rows; perhaps not all of them, but one if any is."""
        page, low = self._page, self._at
        most = min(len(batch) - at, len(page.ids) - low)
        count, step = 0, 1
        while count < most:
            end = min(count + step, most)
            if not batch.same(at + count, at + end, page.entries, low + count):
                break
            if any(page.withdrawn[low + count : low + end]):
                break
            count, step = end, 2 * step
        return count

    def _meet_news(self, entry: Entry) -> None:
        """Take an entry that isn't what the catalog's next row says."""
        while (known := self._next()) is not None and known.path < entry.path:
            self._lose(known, entry)
        if known is not None and known.path == entry.path:
            same = known.entry == entry
            if same and not known.withdrawn:
                self._pass()
                return
            self._drop(known)
            self.counts.changed += 1
            self.counts.retried += same
        else:
            self.counts.added += 1
        self._new.append(entry)

    def _pass_below(self, prefix: bytes) -> None:
        """What is in a folder that can't be listed isn't known to be gone: it stays as it is."""
        while (known := self._next()) is not None and known.path.startswith(prefix):
            if self._rules is not None and not self._rules.keep_path(known.path):
                self._lose(known)
            else:
                self.live += totals_of(listed((known.entry,)))
                self._pass()

    def finish(self) -> None:
        """All rows after the walk's last entry are gone."""
        while (known := self._next()) is not None:
            self._lose(known)
        self._flush()

    def _lose(self, known: _Known, entry: Entry | None = None) -> None:
        """A row is gone; `entry` is the walk's next one."""
        self._drop(known)
        self.counts.gone += 1
        path, kind = known.entry[:2]
        if kind < 0:
            return
        if (
            known.id in self._deleted
            or path.startswith(self._own)
            or (
                kind == Kind.DIRECTORY
                and entry is not None
                and entry.path.startswith(paths.prefix_below(path))
            )
            or (self._rules is not None and not self._rules.keep_path(path))
        ):
            self.losses.intended += 1
            return
        self.losses.lost += 1
        for folder in self.losses.below:
            if path.startswith(folder):
                self.losses.below[folder] += 1

    def _drop(self, known: _Known) -> None:
        self._gone.append(known.id)
        self._pass()

    def _flush(self) -> None:
        if self._new or self._gone:
            self._changes.append(Change(self._gone, self._new.columns), len(self._gone) + len(self._new))
        self._new, self._gone = Listed(), []


class FolderMerge:
    """The same for the folders of a watched project, whose times a watch compares."""

    def __init__(self, known: Iterator[tuple[bytes, int]], changes: Spill[Any]) -> None:
        """Merge into the known folders, path and mtime; `changes` takes (paths to drop, folders to write)."""
        self._known = known
        self._changes = changes
        self._next = next(known, None)
        self._new: list[tuple[bytes, int]] = []
        self._old: list[bytes] = []

    def meet(self, path: bytes, mtime: int) -> None:
        """Take the walk's next folder."""
        while self._next is not None and self._next[0] < path:
            self._drop()
        if self._next is not None and self._next[0] == path:
            if self._next[1] == mtime:
                self._next = next(self._known, None)
                return
            self._drop()
        self._new.append((path, mtime))
        if len(self._new) + len(self._old) >= BATCH:
            self._flush()

    def finish(self) -> None:
        """All folders after the walk's last one are gone."""
        while self._next is not None:
            self._drop()
        self._flush()

    def _drop(self) -> None:
        if self._next is not None:
            self._old.append(self._next[0])
            self._next = next(self._known, None)

    def _flush(self) -> None:
        if self._new or self._old:
            self._changes.append((self._old, self._new), len(self._old) + len(self._new))
        self._new, self._old = [], []
