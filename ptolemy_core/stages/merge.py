"""A scan's merge: what the walk meets against what earlier scans left in the catalog."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import bulk, skipped
from ptolemy_core.catalog.schema import absence, shard
from ptolemy_core.catalog.schema import file as files
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source.walk import UNLISTED, Entry
from ptolemy_core.tree import SEPARATOR

_BATCH = 10_000
_COLUMNS = ("path", "kind", "size", "mtime", "target", "reason")


@dataclass(slots=True)
class Counts:
    """What a merge found: see `scan.ScanResult`."""

    added: int = 0
    changed: int = 0
    gone: int = 0
    returned: int = 0
    retried: int = 0


class _Page(NamedTuple):
    """Live rows of the catalog, in path order; `withdrawn` are those that a blitz has dropped.

    An entry is a tuple as a walk's `Entry` is, so that the two compare, many at once: most rows of most scans are as
    they were.
    """

    entries: list[tuple[Any, ...]]
    ids: Sequence[int]
    withdrawn: Sequence[bool]


_NONE = _Page([], (), ())


class _Known(NamedTuple):
    """One of them."""

    entry: tuple[Any, ...]
    id: int
    withdrawn: bool

    @property
    def path(self) -> bytes:
        path: bytes = self.entry[0]
        return path


class Merge:
    """Walk's entries against the catalog's live rows, both in path order; writes in batches."""

    def __init__(
        self, catalog: Catalog, project: str, scan: int, rules: Rules | None, held: Callable[[], None]
    ) -> None:
        """Merge into what earlier scans of the project left.

        Args:
            catalog: that holds the project.
            project: its name.
            scan: the number of this scan.
            rules: of what belongs in.
            held: raises if the scan's lock is lost.
        """
        self.counts = Counts()
        self._rules = rules
        self._catalog = catalog
        self._held = held
        self._project = project
        self._scan = scan
        self._has_gone = self._any_gone()
        self._known = self._live_rows()
        self._page = _NONE
        self._at = 0
        self._turn()
        self._new: list[Entry] = []
        self._gone: list[int] = []

    def _any_gone(self) -> bool:
        """Whether there are versions that may return."""
        query = sa.select(files.c.id).where(files.c.project == self._project, files.c.gone_scan.is_not(None))
        with self._catalog.read() as connection:
            return connection.scalar(query.limit(1)) is not None

    def _live_rows(self) -> Iterator[_Page]:
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
                rows = connection.execute(query).all()
            if rows:
                *values, ids, withdrawn = zip(*rows, strict=True)
                yield _Page(list(zip(*values, strict=True)), ids, withdrawn)
            if len(rows) < _BATCH:
                return
            last = rows[-1].path

    def _turn(self) -> None:
        self._page, self._at = next(self._known, _NONE), 0

    def _next(self) -> _Known | None:
        """The catalog's next row that the walk hasn't passed."""
        at, page = self._at, self._page
        return _Known(page.entries[at], page.ids[at], page.withdrawn[at]) if at < len(page.ids) else None

    def _pass(self, count: int = 1) -> None:
        self._at += count
        if self._at >= len(self._page.ids):
            self._turn()

    def meet(self, batch: list[Entry]) -> None:
        """Take the walk's next entries."""
        at = 0
        while at < len(batch):
            if self._next() is None:
                self._new += batch[at:]
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
            entry = batch[at - 1]
            if entry.reason is not None and entry.reason.startswith(UNLISTED):
                self._pass_below(entry.path + SEPARATOR)
        if len(self._new) + len(self._gone) >= _BATCH:
            self._flush()

    def _unchanged(self, batch: list[Entry], at: int) -> int:
        """How many entries from `at` on are the catalog's next rows; perhaps not all of them, but one if any is."""
        page, low = self._page, self._at
        count, step = 0, 1
        while True:
            met = batch[at + count : at + count + step]
            span = slice(low + count, low + count + len(met))
            if not met or page.entries[span] != met or any(page.withdrawn[span]):
                return count
            count += len(met)
            step *= 2

    def _meet_news(self, entry: Entry) -> None:
        """Take an entry that isn't what the catalog's next row says."""
        while (known := self._next()) is not None and known.path < entry.path:
            self._drop()
            self.counts.gone += 1
        if known is not None and known.path == entry.path:
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
        while (known := self._next()) is not None and known.path.startswith(prefix):
            if self._rules is not None and not self._rules.keep_path(known.path):
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
            with bulk.indexed([entry.path for entry in new]):
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
