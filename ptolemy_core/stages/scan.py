"""Scan: the target folder streams into the catalog, merged with what earlier scans saw.

Walk and catalog are both in path order, so one pass over both finds what is new, changed and gone; what
didn't change isn't written again. A file version that is gone stays in the catalog, marked with the scan
that missed it; if a later scan meets it again as it was, it is the current one again, and keeps its CARs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core import paths
from ptolemy_core.ahead import ahead
from ptolemy_core.catalog import bulk, deletions, projects, skipped
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.progress import Reporter
from ptolemy_core.catalog.schema import absence, shard
from ptolemy_core.catalog.schema import file as files
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import Kind
from ptolemy_core.layout.items import SEPARATOR
from ptolemy_core.rules import Rules
from ptolemy_core.stages.folders import FolderMerge, forget
from ptolemy_core.walk import LEFT_OUT, UNLISTED, Entry, walk_batches

_BATCH = 10_000
_COLUMNS = ("path", "kind", "size", "mtime", "target", "reason")


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


@survives_outage
def scan(catalog: Catalog, name: str, *, progress: Callable[[int, int], None] | None = None) -> ScanResult:
    """Scan the project's target folder.

    Args:
        catalog: that holds the project.
        name: the project's.
        progress: called with entries and bytes found so far.

    Raises:
        UnknownProjectError, BusyError: no such project; it is being scanned already.
        SourceError: target_dir can't be read.
    """
    project = projects.get(catalog, name)
    busy = f"project {name!r} is being scanned already: wait for that scan"
    with catalog.lock(f"scan {name}", busy=busy) as held:
        started = time.time()
        with catalog.write() as connection:
            number: int = connection.execute(
                scans.insert().values(project=name, started_at=started).returning(scans.c.id)
            ).scalar_one()
        merge = _Merge(catalog, name, number, project.rules, held)
        folders = FolderMerge(catalog, name) if project.watch else None
        if folders is None:
            forget(catalog, name)
        emptied = deletions.folders(catalog, name)  # by deletion of sources: their CARs have them
        found = data = 0
        with Reporter(catalog, name, "scan", None) as reporter:
            note = folders.meet if folders else None
            for batch in ahead(walk_batches(project.target_bytes, project.rules, folder=note)):
                if emptied:
                    batch = [
                        entry for entry in batch if entry.kind != Kind.DIRECTORY or entry.path not in emptied
                    ]
                merge.meet(batch)
                found += len(batch)
                data += sum(entry.size for entry in batch if entry.kind == Kind.FILE)
                reporter.advance(len(batch))
                if progress:
                    progress(found, data)
            merge.finish()
            if folders:
                folders.finish()
        with catalog.write() as connection:
            held()
            connection.execute(scans.update().where(scans.c.id == number).values(finished_at=time.time()))
        deleted = deletions.settle(catalog, name, number)
        return replace(summary(catalog, name, merge.counts, time.time() - started), deleted=deleted)


@dataclass(slots=True)
class _Counts:
    added: int = 0
    changed: int = 0
    gone: int = 0
    returned: int = 0
    retried: int = 0


class _Known(NamedTuple):
    """A live row of the catalog; `withdrawn` when a blitz has dropped it."""

    entry: Entry
    id: int
    withdrawn: bool


class _Merge:
    """Walk's entries against the catalog's live rows, both in path order; writes in batches."""

    def __init__(
        self, catalog: Catalog, project: str, scan: int, rules: Rules | None, held: Callable[[], None]
    ) -> None:
        self.counts = _Counts()
        self._rules = rules
        self._catalog = catalog
        self._held = held
        self._project = project
        self._scan = scan
        self._has_gone = self._any_gone()
        self._known = self._live_rows()
        self._page: Sequence[_Known] = ()
        self._at = 0
        self._turn()
        self._new: list[Entry] = []
        self._gone: list[int] = []

    def _any_gone(self) -> bool:
        """Whether there are versions that may return."""
        query = sa.select(files.c.id).where(files.c.project == self._project, files.c.gone_scan.is_not(None))
        with self._catalog.read() as connection:
            return connection.scalar(query.limit(1)) is not None

    def _live_rows(self) -> Iterator[list[_Known]]:
        """Rows that earlier scans left live, a page at a time: no cursor is open while others write."""
        last = None
        while True:
            query = (
                sa.select(*(files.c[name] for name in (*_COLUMNS, "id")), skipped.withdrawn())
                .where(files.c.project == self._project, files.c.gone_scan.is_(None))
                .where(files.c.first_scan < self._scan)
                .order_by(files.c.path)
                .limit(_BATCH)
            )
            if last is not None:
                query = query.where(files.c.path > last)
            with self._catalog.read() as connection:
                page = [_Known(Entry(*row[:6]), row[6], row[7]) for row in connection.execute(query)]
            if page:
                yield page
            if len(page) < _BATCH:
                return
            last = page[-1].entry.path

    def _turn(self) -> None:
        self._page, self._at = next(self._known, ()), 0

    def _next(self) -> _Known | None:
        """The catalog's next row that the walk hasn't passed."""
        return self._page[self._at] if self._at < len(self._page) else None

    def _pass(self) -> None:
        self._at += 1
        if self._at >= len(self._page):
            self._turn()

    def meet(self, batch: list[Entry]) -> None:
        """Take the walk's next entries."""
        at = 0
        while at < len(batch):
            known = self._next()
            if known is None:
                self._new += batch[at:]
                self.counts.added += len(batch) - at
                break
            entry = batch[at]
            if known.entry == entry and not known.withdrawn:
                self._pass()
            else:
                self._meet_news(entry)
            if entry.reason is not None and entry.reason.startswith(UNLISTED):
                self._pass_below(entry.path + SEPARATOR)
            at += 1
        if len(self._new) + len(self._gone) >= _BATCH:
            self._flush()

    def _meet_news(self, entry: Entry) -> None:
        """Take an entry that isn't what the catalog's next row says."""
        while (known := self._next()) is not None and known.entry.path < entry.path:
            self._drop()
            self.counts.gone += 1
        if known is not None and known.entry.path == entry.path:
            same = known.entry == entry
            if same and not known.withdrawn:
                self._pass()
                return
            self._drop()
            self.counts.changed += 1
            self.counts.retried += same
        else:
            self.counts.added += 1
        self._new.append(entry)

    def _pass_below(self, prefix: bytes) -> None:
        """What is in a folder that can't be listed isn't known to be gone: it stays as it is."""
        while (known := self._next()) is not None and known.entry.path.startswith(prefix):
            if self._rules is not None and not self._rules.keep_path(known.entry.path):
                self._drop()
                self.counts.gone += 1
            else:
                self._pass()

    def finish(self) -> None:
        """All rows behind the walk's last entry are gone."""
        while self._next() is not None:
            self._drop()
            self.counts.gone += 1
        self._flush()

    def _drop(self) -> None:
        known = self._next()
        if known is not None:
            self._gone.append(known.id)
            self._pass()

    def _flush(self) -> None:
        with self._catalog.write() as connection:
            self._held()
            for part in _parts(self._gone):
                connection.execute(files.update().where(files.c.id.in_(part)).values(gone_scan=self._scan))
            back = self._return(connection)
            new = [entry for entry in self._new if entry.path not in back] if back else self._new
            same = {"project": self._project, "first_scan": self._scan}
            bulk.insert(connection, files, _COLUMNS, new, same)
        self._new, self._gone = [], []

    def _return(self, connection: Connection) -> set[bytes]:
        """Make versions current again that an earlier scan missed and this one meets as they were.

        Only those that containers hold in full: any other is as good as new.
        """
        held = sa.select(sa.func.sum(shard.c.length)).where(shard.c.file_id == files.c.id).scalar_subquery()
        found: dict[tuple[Any, ...], Any] = {}
        for part in _parts([entry.path for entry in self._new]) if self._has_gone else ():
            query = (
                sa.select(files)
                .where(files.c.project == self._project, files.c.path.in_(part))
                .where(files.c.gone_scan.is_not(None), files.c.kind >= 0)
                .where(held == files.c.size, ~skipped.withdrawn())
                .order_by(files.c.id)
            )
            for row in connection.execute(query):
                found[row.path, row.kind, row.size, row.mtime, row.target] = row
        back = set()
        for entry in self._new if found else ():
            if entry[:5] not in found:
                continue
            row = found[entry[:5]]
            away = {"file_id": row.id, "gone_scan": row.gone_scan, "back_scan": self._scan}
            connection.execute(absence.insert().values(away))
            connection.execute(files.update().where(files.c.id == row.id).values(gone_scan=None))
            back.add(entry.path)
        self.counts.returned += len(back)
        return back


def _parts(values: list[Any]) -> Iterator[list[Any]]:
    """A list in pieces that one query takes."""
    for low in range(0, len(values), 500):
        yield values[low : low + 500]


@survives_outage
def summary(catalog: Catalog, name: str, counts: _Counts | None = None, seconds: float = 0.0) -> ScanResult:
    """Counts over the live rows of a project."""
    counts = counts or _Counts()
    live = (files.c.project == name, files.c.gone_scan.is_(None))
    counts_of = sa.select(
        files.c.kind,
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(files.c.size), 0),
        sa.func.max(files.c.size),
        sa.func.sum(sa.case((files.c.size == 0, 1), else_=0)),
    )
    with catalog.read() as connection:
        found = connection.execute(counts_of.where(*live).group_by(files.c.kind))
        of_kind = {kind: tuple(map(int, rest)) for kind, *rest in found}
        sample = list(left_out(connection, name, limit=20))
    none = (0, 0, 0, 0)
    number, data, largest, empty = of_kind.get(Kind.FILE, none)
    return ScanResult(
        files=number,
        empty_files=empty,
        links=of_kind.get(Kind.SYMLINK, none)[0],
        empty_folders=of_kind.get(Kind.DIRECTORY, none)[0],
        left_out=of_kind.get(LEFT_OUT, none)[0],
        data_bytes=data,
        largest=largest,
        added=counts.added,
        changed=counts.changed,
        gone=counts.gone,
        returned=counts.returned,
        retried=counts.retried,
        left_out_sample=sample,
        seconds=seconds,
    )


def left_out(connection: Connection, name: str, limit: int) -> Iterator[tuple[str, str]]:
    """Entries of the last scan that can't go into a CAR: path for people, and the reason."""
    query = (
        sa.select(files.c.path, files.c.reason)
        .where(files.c.project == name, files.c.gone_scan.is_(None), files.c.kind == LEFT_OUT)
        .order_by(files.c.path)
        .limit(limit)
    )
    for path, reason in connection.execute(query):
        yield paths.display(path), reason
