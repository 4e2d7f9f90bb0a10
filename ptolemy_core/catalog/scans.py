"""Scans in the catalog: the rows that a scan is compared with, and the writing of what it found."""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import bulk, skipped
from ptolemy_core.catalog.columns import pages
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import absence, car, deletion, shard
from ptolemy_core.catalog.schema import file as files
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.encryption import random_headers
from ptolemy_core.source.filesystem import Mounts, from_json
from ptolemy_core.source.listed import Columns, Listed
from ptolemy_core.tree import LEFT_OUT, Kind

PAGE = 10_000
"""Rows that are read at once: no cursor is open while others write."""

_MANY = 500
"""Values of one IN."""

_COLUMNS = ("path", "kind", "size", "mtime", "target", "reason")


class KnownPage(NamedTuple):
    """Live rows of the catalog, in path order; `withdrawn` are those that a build has dropped.

    Columns as a walk's `Listed`, so that the two compare, many at once: most rows of most scans are as they were.
    `stored` of them aren't left out.
    """

    entries: Listed
    ids: Sequence[int]
    withdrawn: Sequence[bool]
    stored: int


@dataclass(frozen=True, slots=True)
class Change:
    """Part of what a scan found.

    Attributes:
        gone: rows that are gone, by id.
        new: the entries that are new in their place or beside.
    """

    gone: list[int]
    new: Columns

    def __len__(self) -> int:
        return len(self.gone) + len(self.new[0])

    def __iter__(self) -> Iterator[Any]:
        return iter((self.gone, self.new))


def begin(catalog: Catalog, project: str, started: float) -> int:
    """Record that a scan begins; returns its number."""
    with catalog.write() as connection:
        row = {"project": project, "started_at": started}
        number: int = connection.execute(scans.insert().values(row).returning(scans.c.id)).scalar_one()
    return number


def refuse(catalog: Catalog, number: int, reason: str) -> None:
    """Record why nothing of a scan is merged."""
    with catalog.write() as connection:
        connection.execute(scans.update().where(scans.c.id == number).values(refused=reason))


def finish(
    connection: Connection, number: int, mounts: Mounts, live: "LiveTotals", *, news: bool = True
) -> None:
    """Record that a scan is done, the file systems that it found, what is live, and whether it changed any entry."""
    values: dict[str, Any] = {"finished_at": time.time(), "mounts": json.dumps(mounts.as_json())}
    values["live"] = json.dumps(asdict(live))
    if not news:
        mine = sa.select(scans.c.project).where(scans.c.id == number).scalar_subquery()
        before = scans.alias()
        values["planned"] = (
            sa.select(before.c.planned)
            .where(before.c.project == mine, before.c.id < number, before.c.refused.is_(None))
            .order_by(before.c.id.desc())
            .limit(1)
            .scalar_subquery()
        )
    connection.execute(scans.update().where(scans.c.id == number).values(values))


def newest_merged(project: Any) -> sa.Select[Any]:
    """The newest scan of a project that wasn't refused, finished or not; a row for a query."""
    return (
        sa.select(scans)
        .where(scans.c.project == project, scans.c.refused.is_(None))
        .order_by(scans.c.id.desc())
        .limit(1)
    )


def newest_number(connection: Connection, project: str) -> int | None:
    """The number of the newest scan that wasn't refused, if it is finished."""
    row = connection.execute(newest_merged(project)).first()
    return None if row is None or row.finished_at is None else int(row.id)


def set_planned(connection: Connection, project: str, number: int | None) -> None:
    """Record that all that a scan left is planned; None: of none is that known any more.

    Whatever takes an entry out of its container, or adds one other than by a scan, calls it with None.
    """
    mine = scans.c.project == project
    connection.execute(scans.update().where(mine, scans.c.planned.is_not(None)).values(planned=None))
    if number is not None:
        connection.execute(scans.update().where(mine, scans.c.id == number).values(planned=True))


def set_mounts(catalog: Catalog, project: str, mounts: Mounts) -> None:
    """Let the last finished scan have found these file systems: its data has moved, and is the same."""
    newest = sa.select(sa.func.max(scans.c.id)).where(
        scans.c.project == project, scans.c.finished_at.is_not(None)
    )
    with catalog.write() as connection:
        number = connection.scalar(newest)
        values = {"mounts": json.dumps(mounts.as_json())}
        connection.execute(scans.update().where(scans.c.id == number).values(values))


@survives_outage
def is_scanned(catalog: Catalog, project: str) -> bool:
    """Whether a scan of a project was finished."""
    query = sa.select(scans.c.id).where(scans.c.project == project, scans.c.finished_at.is_not(None))
    with catalog.read() as connection:
        return connection.scalar(query.limit(1)) is not None


@dataclass(frozen=True, slots=True)
class LastScan:
    """The newest scan of a project: whether it was finished, why nothing of it was merged, if so, and its start."""

    number: int
    finished: bool
    refused: str | None
    started: float


def last(catalog: Catalog, project: str, *, merged: bool = False) -> LastScan | None:
    """The newest scan, of those only that weren't refused if they are to be `merged`; None if there is none."""
    columns = (scans.c.id, scans.c.finished_at, scans.c.refused, scans.c.started_at)
    query = sa.select(*columns).where(scans.c.project == project)
    if merged:
        query = query.where(scans.c.refused.is_(None))
    with catalog.read() as connection:
        row = connection.execute(query.order_by(scans.c.id.desc()).limit(1)).first()
    return None if row is None else LastScan(row.id, row.finished_at is not None, row.refused, row.started_at)


def last_mounts(catalog: Catalog, project: str) -> Mounts | None:
    """The file systems that the last finished scan found; None if that isn't known."""
    query = sa.select(scans.c.mounts).where(scans.c.project == project, scans.c.finished_at.is_not(None))
    with catalog.read() as connection:
        kept: str | None = connection.scalar(query.order_by(scans.c.id.desc()).limit(1))
    return from_json(json.loads(kept)) if kept else None


def last_news(catalog: Catalog, project: str) -> tuple[int, int]:
    """The last scans that found something new or changed, and something gone; 0 where none did."""
    query = sa.select(sa.func.max(files.c.first_scan), sa.func.max(files.c.gone_scan)).where(
        files.c.project == project
    )
    with catalog.read() as connection:
        first, gone = connection.execute(query).one()
    return first or 0, gone or 0


def has_entries(catalog: Catalog, project: str) -> bool:
    """Whether the last scan left a live entry that can be stored."""
    query = sa.select(files.c.id).where(*_live(project), files.c.kind >= 0)
    with catalog.read() as connection:
        return connection.scalar(query.limit(1)) is not None


def has_gone(catalog: Catalog, project: str) -> bool:
    """Whether there are versions that may return."""
    query = sa.select(files.c.id).where(files.c.project == project, files.c.gone_scan.is_not(None))
    with catalog.read() as connection:
        return connection.scalar(query.limit(1)) is not None


def deleted_live(catalog: Catalog, project: str) -> frozenset[int]:
    """Ids of live rows whose deletion by `delete_source` is journaled: the next scan will miss them."""
    query = (
        sa.select(deletion.c.file_id)
        .join(files, files.c.id == deletion.c.file_id)
        .where(deletion.c.project == project, files.c.gone_scan.is_(None))
    )
    with catalog.read() as connection:
        return frozenset(connection.scalars(query))


def known_pages(catalog: Catalog, project: str) -> Iterator[KnownPage]:
    """Rows that earlier scans left live, in path order."""
    columns = [files.c[name] for name in (*_COLUMNS, "id")]
    after = None
    while True:
        with catalog.read() as connection:
            any_dropped = skipped.any_dropped_in(connection, project)
            wanted = (*columns, skipped.withdrawn()) if any_dropped else columns
            query = sa.select(*wanted).where(*_live(project)).order_by(files.c.path).limit(PAGE)
            if after is not None:
                query = query.where(files.c.path > after)
            found = next(pages(connection, query, PAGE), None)
        if found is None:
            return
        *values, ids, withdrawn = found if any_dropped else (*found, (False,) * len(found[0]))
        entries = Listed(*map(list, values))
        yield KnownPage(entries, ids, withdrawn, len(entries) - entries.kinds.count(LEFT_OUT))
        if len(entries) < PAGE:
            return
        after = entries.paths[-1]


@dataclass(frozen=True, slots=True)
class Writing:
    """How what a scan found is written.

    Attributes:
        project: the project's name.
        number: the scan's.
        returning: whether there are versions that may be current again.
        encrypted: give each version of a file a salt of its own.
    """

    project: str
    number: int
    returning: bool
    encrypted: bool = False


def write(connection: Connection, change: Change, how: Writing) -> int:
    """Write part of what a scan found.

    Args:
        connection: in a transaction.
        change: what it found.
        how: to write it.

    Returns:
        how many of the new entries are versions that an earlier scan missed and this one met as they were.
    """
    for part in _parts(change.gone):
        connection.execute(files.update().where(files.c.id.in_(part)).values(gone_scan=how.number))
    new = Listed(*change.new)
    back = _return(connection, new, how) if how.returning else set()
    if back:
        new = new.take([row for row, path in enumerate(new.paths) if path not in back])
    columns: dict[str, Sequence[Any]] = dict(zip(_COLUMNS, new.columns, strict=True))
    if how.encrypted:
        columns["header"] = _headers(new)
    with bulk.indexed(new.paths):
        bulk.insert_columns(connection, files, columns, {"project": how.project, "first_scan": how.number})
    return len(back)


def _headers(new: Listed) -> list[bytes | None]:
    """For each file a header of its own: no two versions have the same."""
    headers = random_headers(len(new))
    return [header if kind == Kind.FILE else None for header, kind in zip(headers, new.kinds, strict=True)]


def _return(connection: Connection, new: Listed, how: Writing) -> set[bytes]:
    """Make versions current again that an earlier scan missed and this one met as they were.

    Only those that containers hold in full: any other is as good as new. An encrypted version must be in CARs, whose
    rebuilds are compared with them: else other bytes might be encrypted with its salt.
    """
    project, number = how.project, how.number
    held = sa.select(sa.func.sum(shard.c.length)).where(shard.c.file_id == files.c.id)
    if how.encrypted:
        held = held.join(car, car.c.container_id == shard.c.container_id)
    planned = held.scalar_subquery()
    found: dict[tuple[Any, ...], Any] = {}
    for part in _parts(new.paths):
        query = (
            sa.select(files)
            .where(files.c.project == project, files.c.path.in_(part))
            .where(files.c.gone_scan.is_not(None), files.c.kind >= 0)
            .where(planned == files.c.size, files.c.other_content.is_(None), ~skipped.withdrawn())
            .order_by(files.c.id)
        )
        for row in connection.execute(query):
            found[row.path, row.kind, row.size, row.mtime, row.target] = row
    back = set()
    for entry in new if found else ():
        if tuple(entry[:5]) not in found:
            continue
        row = found[tuple(entry[:5])]
        away = {"file_id": row.id, "gone_scan": row.gone_scan, "back_scan": number}
        connection.execute(absence.insert().values(away))
        connection.execute(files.update().where(files.c.id == row.id).values(gone_scan=None))
        back.add(entry[0])
    return back


@dataclass(frozen=True, slots=True)
class LiveTotals:
    """Of a project's live rows: entries by kind, bytes of its files and of the largest one."""

    files: int = 0
    empty_files: int = 0
    links: int = 0
    empty_folders: int = 0
    left_out: int = 0
    data_bytes: int = 0
    largest: int = 0

    def __add__(self, other: "LiveTotals") -> "LiveTotals":
        """Of both."""
        return LiveTotals(
            files=self.files + other.files,
            empty_files=self.empty_files + other.empty_files,
            links=self.links + other.links,
            empty_folders=self.empty_folders + other.empty_folders,
            left_out=self.left_out + other.left_out,
            data_bytes=self.data_bytes + other.data_bytes,
            largest=max(self.largest, other.largest),
        )


@survives_outage
def totals(catalog: Catalog, project: str) -> LiveTotals:
    """What the last scan left live: as it counted, else as its rows are."""
    with catalog.read() as connection:
        newest = connection.execute(newest_merged(project)).first()
    if newest is None or newest.finished_at is None or newest.live is None:
        return counted(catalog, project)  # of a scan that was cut off, or an earlier version's
    return LiveTotals(**json.loads(newest.live))


def counted(catalog: Catalog, project: str) -> LiveTotals:
    """Counts over the live rows of a project."""
    query = sa.select(
        files.c.kind,
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(files.c.size), 0),
        sa.func.max(files.c.size),
        sa.func.sum(sa.case((files.c.size == 0, 1), else_=0)),
    )
    with catalog.read() as connection:
        rows = connection.execute(query.where(*_live(project)).group_by(files.c.kind)).all()
    of_kind = {kind: tuple(map(int, rest)) for kind, *rest in rows}
    none = (0, 0, 0, 0)
    number, data, largest, empty = of_kind.get(Kind.FILE, none)
    return LiveTotals(
        files=number,
        empty_files=empty,
        links=of_kind.get(Kind.SYMLINK, none)[0],
        empty_folders=of_kind.get(Kind.DIRECTORY, none)[0],
        left_out=of_kind.get(LEFT_OUT, none)[0],
        data_bytes=data,
        largest=largest,
    )


@survives_outage
def holds_at_most(catalog: Catalog, project: str, entries: int) -> bool:
    """Whether the scans of a project found so few entries, all versions counted."""
    some = sa.select(files.c.id).where(files.c.project == project).limit(entries + 1).subquery()
    with catalog.read() as connection:
        return (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= entries


def _live(project: str) -> tuple[sa.ColumnElement[bool], ...]:
    return files.c.project == project, files.c.gone_scan.is_(None)


def _parts(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Values in pieces that one query takes."""
    rest = iter(values)
    while part := list(itertools.islice(rest, _MANY)):
        yield part
