"""Scan: the target folder is walked, compared with what earlier scans saw, and what changed goes into the catalog.

Walk and catalog are both in path order, so one pass over both finds what is new, changed and gone; what
didn't change isn't written again. A file version that is gone stays in the catalog, marked with the scan
that missed it; if a later scan meets it again as it was, it is the current one again, and keeps its CARs.

A scan loads what it must know, works, which needs no catalog but the stream of known rows, and records. Nothing is
recorded before the whole target is walked and found to be the one that it was: see `guard`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from ptolemy_core.catalog import dead_cars, deletions, projects, scans, skipped
from ptolemy_core.catalog import folders as noted_folders
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.scans import Change, KnownPage, LiveTotals
from ptolemy_core.catalog.skipped import NotStored
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import LossError, PtolemyError, SourceError, UnreadableError
from ptolemy_core.prefetch import prefetch
from ptolemy_core.progress import ScanProgress
from ptolemy_core.project import Project
from ptolemy_core.source import columns, open_target
from ptolemy_core.source.filesystem import Mounts
from ptolemy_core.source.listed import Entry, Listed
from ptolemy_core.source.walk import OWN, SPECIAL, OwnFolders
from ptolemy_core.stages import dead, guard
from ptolemy_core.stages.merge import Counts, Expected, FolderMerge, Losses, Merge
from ptolemy_core.stages.own_folders import own_files, own_folders
from ptolemy_core.stages.settle import settle_before_scan
from ptolemy_core.stages.spill import Spill
from ptolemy_core.tree import LEFT_OUT, Kind, paths

_AT_ONCE = 200_000
"""Rows that are written in one transaction: others wait for a few seconds."""

_SHOWN = 20

"""Takes entries and bytes found so far."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What the target holds now, and what this scan changed in the catalog.

    Attributes:
        files, empty_files, links, empty_folders, left_out: entries by kind; left_out can't go into a CAR.
        data_bytes: st_size of all files together.
        largest: bytes of the largest file.
        added, changed, gone: versions that this scan found, replaced, missed; all 0 on a scan without news.
        returned: how many of those added or changed are versions that an earlier scan saw, in containers.
        retried: how many of those changed are as they were, but a blitz had dropped them.
        left_out_sample: some of the entries left out, with the reason.
        seconds: time it took.
        deleted: how many of those gone were deleted by `delete_source`, after delivery.
        not_stored: the entries left out, and those that builds dropped, by the reason.
        dead: generated CARs that can't be generated any more, as this scan found.
    """

    files: int
    empty_files: int
    links: int
    empty_folders: int
    left_out: int
    data_bytes: int
    largest: int
    added: int
    changed: int
    gone: int
    returned: int
    retried: int
    left_out_sample: list[tuple[str, str]]
    seconds: float
    deleted: int = 0
    not_stored: NotStored = field(default=NotStored())
    dead: list[CarRow] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.files or self.links or self.empty_folders)


@dataclass(frozen=True, slots=True)
class ScanJob:
    """All that the work of a scan must know, but the rows of earlier scans.

    Attributes:
        project: whose target is scanned.
        number: of the scan.
        mounts: the file systems that the last scan found; None if that isn't known, or there was nothing on them.
        expected: what may be gone.
        own: Ptolemy's own folders.
        own_files: the same of files, by path.
        emptied: folders that `delete_source` deleted something from: CARs have them.
        accept_loss: whether the target may be another one, or have lost most of what it had.
    """

    project: Project
    number: int
    mounts: Mounts | None
    expected: Expected
    own: OwnFolders
    own_files: frozenset[bytes]
    emptied: frozenset[bytes]
    accept_loss: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What the work found; changes are still to be recorded.

    Attributes:
        changes: to the entries.
        folders: to the folders of a watched project.
        counts, losses: of the changes.
        live: counts over the entries that are left live.
        mounts: the file systems that were found.
    """

    changes: Spill[Change]
    folders: Spill[Any] | None
    counts: Counts
    losses: Losses
    live: LiveTotals
    mounts: Mounts


@survives_outage
def scan(
    catalog: Catalog, name: str, *, accept_loss: bool = False, progress: ScanProgress | None = None
) -> ScanResult:
    """Scan the project's target folder.

    Args:
        catalog: where the project is.
        name: the project's.
        accept_loss: scan even if the target is another one, or has lost more than max_loss percent of its entries.
        progress: called with entries and bytes found since the last call.

    Raises:
        UnknownProjectError, BusyError: no such project; it is being scanned already.
        SourceError: target_dir can't be read, or was replaced meanwhile.
        LossError: it isn't what the last scan saw, or most of that is gone; nothing is recorded.
        UnreadableError: entries can't be read, and on_error is "fail"; nothing is recorded.
    """
    projects.get(catalog, name)
    busy = f"project {name!r} is being scanned already: wait for that scan"
    with catalog.lock(f"scan {name}", busy=busy) as check_lock, ExitStack() as stack:
        started = time.time()
        job = load(catalog, name, accept_loss, started)
        spills: list[Spill[Any]] = [stack.enter_context(Spill(job.project.local_dir)) for _ in range(2)]
        with Reporter(catalog, name, Task(Work.SCAN), None) as reporter:

            def report(entries: int, data: int) -> None:
                reporter.advance(entries)
                if progress and entries:
                    progress(entries, data)

            known = scans.known_pages(catalog, name)
            folders = noted_folders.rows(catalog, name) if job.project.watch else None
            try:
                found = work(job, known, folders, spills, report)
            except (LossError, UnreadableError) as error:
                scans.refuse(catalog, job.number, str(error))
                raise
            record(catalog, job, found, check_lock, lambda: reporter.advance(0))
        deleted = deletions.settle(catalog, name, job.number)
        dead.settle(catalog, name)
        return summary(catalog, name, found.counts, time.time() - started, deleted)


def load(catalog: Catalog, name: str, accept_loss: bool, started: float) -> ScanJob:
    """Read what the work of a scan needs, and give the scan its number."""
    project = projects.get(catalog, name)
    mounts = scans.last_mounts(catalog, name) if scans.has_entries(catalog, name) else None
    _settle_deletions(catalog, project, mounts)
    return _job(catalog, project, mounts, scans.begin(catalog, name, started), accept_loss)


def _job(
    catalog: Catalog, project: Project, mounts: Mounts | None, number: int, accept_loss: bool
) -> ScanJob:
    name = project.name
    below = [paths.from_slashes(path) for path in mounts.below] if mounts else []
    return ScanJob(
        project=project,
        number=number,
        mounts=mounts,
        expected=Expected(project.rules, scans.deleted_live(catalog, name), tuple(below)),
        own=own_folders(catalog, project),
        own_files=own_files(catalog, project),
        emptied=frozenset(deletions.folders(catalog, name)),
        accept_loss=accept_loss,
    )


class _NewsError(Exception):
    """Something isn't as the last scan saw it."""


class _NoNews(Spill[Any]):
    """Takes no change."""

    def append(self, value: Any, items: int) -> None:
        raise _NewsError


def is_unchanged(catalog: Catalog, name: str, at_most: int) -> bool:
    """Whether a scan now would record nothing new; in doubt False. Nothing is written.

    Args:
        catalog: where the project is.
        name: the project's.
        at_most: entries; a larger project isn't compared.
    """
    project = projects.get(catalog, name)
    last = scans.last(catalog, name)
    if last is None or not last.finished or not scans.holds_at_most(catalog, name, at_most):
        return False
    if scans.deleted_live(catalog, name) or any(deletions.rows(catalog, name, unfinished=True)):
        return False
    mounts = scans.last_mounts(catalog, name)
    job = _job(catalog, project, mounts, 0, False)
    folders = noted_folders.rows(catalog, name) if project.watch else None
    try:
        with _NoNews(project.local_dir) as changes:
            found = work(job, scans.known_pages(catalog, name), folders, [changes, changes], lambda *_: None)
    except (_NewsError, PtolemyError, OSError):
        return False
    return mounts is not None and not guard.missing_mounts(mounts, found.mounts)


def _settle_deletions(catalog: Catalog, project: Project, mounts: Mounts | None) -> None:
    """Settle what an interrupted deletion left, unless the target is another one, where nothing would be found."""
    try:
        now = open_target(project).mounts()
    except SourceError:
        return  # the work says what is wrong with it
    if not guard.missing_mounts(mounts, now):
        settle_before_scan(catalog, project)


def work(
    job: ScanJob,
    known: Iterator[KnownPage],
    known_folders: Iterator[tuple[bytes, int]] | None,
    spills: list[Spill[Any]],
    progress: ScanProgress,
) -> Found:
    """Walk the target, and compare it with the rows of earlier scans.

    Args:
        job: what is to be scanned.
        known: the rows, in path order.
        known_folders: the same of the folders of a watched project.
        spills: take the changes of entries, and of folders.
        progress: called with entries and bytes found since the last call.

    Raises:
        SourceError, LossError, UnreadableError: as `scan`.
    """
    project = job.project
    target = open_target(project, job.own)
    before = target.mounts()
    if not job.accept_loss:
        guard.require_same_target(project, job.mounts, before)
    folders = FolderMerge(known_folders, spills[1]) if known_folders is not None else None
    merge = Merge(known, job.expected, spills[0])
    unreadable: list[Entry] = []
    stored = unread = 0
    walked = columns(target, project.rules, folder=folders.meet if folders else None)
    with closing(prefetch(walked)) as batches:
        for batch in batches:
            kept = _kept(batch, job)
            data = merge.meet(kept)
            odd = kept.kinds.count(LEFT_OUT)
            stored += len(kept) - odd
            if odd:
                left_out = [kept[row] for row, kind in enumerate(kept.kinds) if kind == LEFT_OUT]
                bad = [entry for entry in left_out if is_unreadable(entry.reason or "")]
                unread += len(bad)
                unreadable = (unreadable + bad)[:_SHOWN]
            progress(len(kept), data)
    merge.finish()
    if folders:
        folders.finish()
    after = target.mounts()
    guard.require_not_replaced(project, before, after)
    if not job.accept_loss:
        guard.require_few_losses(project, stored, merge.losses, job.mounts, after)
    if unread and project.on_error == "fail":
        raise UnreadableError(_unreadable_said(project, unreadable, unread))
    changes = spills[0], spills[1] if folders else None
    return Found(*changes, merge.counts, merge.losses, merge.live, after)


def _kept(batch: Listed, job: ScanJob) -> Listed:
    """Entries without folders that are empty because `delete_source` emptied them; own files are left out."""
    if job.emptied:
        emptied = {
            row
            for row, path in enumerate(batch.paths)
            if batch.kinds[row] == Kind.DIRECTORY and path in job.emptied
        }
        batch = batch.take([row for row in range(len(batch)) if row not in emptied])
    if job.own_files:
        for row in [row for row, path in enumerate(batch.paths) if path in job.own_files]:
            batch[row] = batch[row]._replace(kind=LEFT_OUT, reason=f"{OWN} catalog")
    return batch


def is_unreadable(reason: str) -> bool:
    """Whether an entry that is left out for this reason may hold data."""
    return reason not in SPECIAL and not reason.startswith(OWN)


def _unreadable_said(project: Project, first: list[Entry], count: int) -> str:
    named = "; ".join(f"{paths.display(entry.path)}: {entry.reason}" for entry in first)
    more = f"; and {count - len(first):,} more" if count > len(first) else ""
    what = "1 entry" if count == 1 else f"{count:,} entries"
    return (
        f"{what} of {project.target_dir} can't be stored ({named}{more}), so nothing was recorded: make "
        f"them readable for the user that scans, leave them out (ptolemy set {project.name} --exclude PATTERN), or "
        f"skip them with a record (ptolemy set {project.name} --on-error skip)"
    )


def record(
    catalog: Catalog,
    job: ScanJob,
    found: Found,
    check_lock: Callable[[], None],
    between: Callable[[], None] = lambda: None,
) -> None:
    """Write what the work found, in as few transactions as others can wait for.

    One that is cut off in between is made good by the next scan.

    Args:
        catalog: where the project is.
        job, found: what was scanned, and what it found.
        check_lock: raises if the scan's lock is lost.
        between: called between two transactions.
    """
    name = job.project.name
    returning = bool(found.counts.added or found.counts.changed) and scans.has_gone(catalog, name)
    how = scans.Writing(name, job.number, returning, job.project.is_encrypted)
    rest = iter(found.changes)
    ended = False
    while not ended:
        with catalog.write() as connection:
            check_lock()
            projects.hold(connection, name)
            ended = True
            rows = 0
            for change in rest:
                part = Change(*change)
                rows += len(part)
                found.counts.returned += scans.write(connection, part, how)
                if rows >= _AT_ONCE:
                    ended = False
                    break
            if ended:
                if found.folders is None:
                    noted_folders.forget(connection, name)
                for old, new in found.folders or ():
                    noted_folders.replace(connection, name, old, new)
                counts = found.counts
                news = bool(counts.added or counts.changed or counts.gone)
                scans.finish(connection, job.number, found.mounts, found.live, news=news)
        between()


@survives_outage
def summary(
    catalog: Catalog, name: str, counts: Counts | None = None, seconds: float = 0.0, deleted: int = 0
) -> ScanResult:
    """Counts over the live rows of a project."""
    counts = counts or Counts()
    live = scans.totals(catalog, name)
    return ScanResult(
        files=live.files,
        empty_files=live.empty_files,
        links=live.links,
        empty_folders=live.empty_folders,
        left_out=live.left_out,
        data_bytes=live.data_bytes,
        largest=live.largest,
        added=counts.added,
        changed=counts.changed,
        gone=counts.gone,
        returned=counts.returned,
        retried=counts.retried,
        left_out_sample=skipped.left_out(catalog, name, _SHOWN),
        seconds=seconds,
        deleted=deleted,
        not_stored=skipped.not_stored(catalog, name),
        dead=dead_cars.rows(catalog, name, last_scan=True),
    )
