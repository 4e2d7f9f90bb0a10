"""What one scan of a project saw, and which built CARs hold it: all that a restore asks of the catalog."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog import cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.joins import SAME_SHARD, at_or_below
from ptolemy_core.catalog.schema import built_shard, car, file, scan, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.tree import Kind, paths

_PAGE = 5000
_SHOWN = 10
"""Unbuilt entries that are named."""


@dataclass(frozen=True, slots=True)
class View:
    """The entries that one scan saw, as far as a CAR may hold them.

    Attributes:
        project: the project's name.
        scan: the scan's number; None for the newest.
        below: only entries of these NUL-joined paths, and below them; all if there are none.
    """

    project: str
    scan: int | None = None
    below: tuple[bytes, ...] = ()

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """What holds for the files of this view."""
        seen = [file.c.project == self.project, file.c.kind >= 0, _version(self.scan)]
        return [*seen, reduce(or_, map(at_or_below, self.below))] if self.below else seen


@dataclass(frozen=True, slots=True)
class Shard:
    """A planned shard of an entry; `number` is None for a whole file, `cid` and `car_offset` while it isn't built."""

    container_id: int
    number: int | None
    start: int
    length: int
    cid: bytes | None
    car_offset: int | None


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry with its shards in order; `cid` is that of a split file as a whole, once it is known.

    `header` is that of an encrypted file's version.
    """

    path: bytes
    kind: int
    size: int
    mtime: int
    target: bytes | None
    cid: bytes | None
    shards: tuple[Shard, ...]
    header: bytes | None = None


@dataclass(frozen=True, slots=True)
class Totals:
    """How much a view holds.

    Attributes:
        entries: files, links and empty folders.
        size: bytes of the files.
        unbuilt: paths of some entries that aren't in any built CAR.
    """

    entries: int
    size: int
    unbuilt: tuple[bytes, ...]


def totals(catalog: Catalog, view: View) -> Totals:
    """How much a view holds."""
    wanted = view.conditions()
    built = sa.exists().where(shard.c.file_id == file.c.id, car.c.container_id == shard.c.container_id)
    sizes = sa.case((file.c.kind == Kind.FILE, file.c.size), else_=0)
    counts = sa.select(sa.func.count(), sa.func.sum(sizes)).select_from(file).where(*wanted)
    unbuilt = sa.select(file.c.path).where(*wanted, ~built).order_by(file.c.path).limit(_SHOWN)
    with catalog.read() as connection:
        entries, size = connection.execute(counts).one()
        return Totals(entries, int(size or 0), tuple(map(bytes, connection.scalars(unbuilt))))


def holding(catalog: Catalog, view: View) -> list[CarRow]:
    """The built CARs that hold something of a view, by number."""
    containers = (
        sa.select(shard.c.container_id)
        .join(file, file.c.id == shard.c.file_id)
        .where(*view.conditions())
        .distinct()
    )
    with catalog.read() as connection:
        chosen = set(connection.scalars(containers))
    return [row for row in cars.rows(catalog, view.project) if row.container_id in chosen]


def is_empty(catalog: Catalog, view: View) -> bool:
    """Whether there is nothing in a view."""
    with catalog.read() as connection:
        return connection.scalar(sa.select(file.c.id).where(*view.conditions()).limit(1)) is None


def scan_numbers(catalog: Catalog, project: str) -> list[int]:
    """The numbers of a project's scans, in order."""
    with catalog.read() as connection:
        return list(
            connection.scalars(sa.select(scan.c.id).where(scan.c.project == project).order_by(scan.c.id))
        )


def names_at_top(catalog: Catalog, view: View, prefix: bytes) -> list[bytes]:
    """Names at the top of the tree that begin with a prefix, wherever in the tree the view begins."""
    whole = View(view.project, view.scan)
    query = sa.select(file.c.path).where(
        *whole.conditions(), file.c.path >= prefix, file.c.path < prefix + b"\xff"
    )
    with catalog.read() as connection:
        return list(dict.fromkeys(paths.top_of(bytes(path)) for path in connection.scalars(query)))


@dataclass(frozen=True, slots=True)
class Entries:
    """The entries of a view in path order; read from the catalog each time it is iterated, some thousands at once."""

    catalog: Catalog
    view: View

    def __iter__(self) -> Iterator[Stored]:
        rows: list[sa.Row[Any]] = []
        with self.catalog.read() as connection:
            for row in connection.execution_options(yield_per=_PAGE).execute(_entries(self.view)):
                if rows and rows[0].id != row.id:
                    yield _stored(rows)
                    rows = []
                rows.append(row)
        if rows:
            yield _stored(rows)


def _entries(view: View) -> sa.Select[Any]:
    """The entries of a view, each once for each of its shards, or once."""
    return (
        sa.select(
            file.c.id,
            file.c.path,
            file.c.kind,
            file.c.size,
            file.c.mtime,
            file.c.target,
            file.c.cid.label("file_cid"),
            file.c.header,
            shard.c.container_id,
            shard.c.number,
            shard.c.start,
            shard.c.length,
            built_shard.c.cid,
            built_shard.c.car_offset,
        )
        .select_from(file)
        .outerjoin(shard, shard.c.file_id == file.c.id)
        .outerjoin(built_shard, SAME_SHARD)
        .where(*view.conditions())
        .order_by(file.c.path, file.c.id, shard.c.number)
    )


def _version(number: int | None) -> sa.ColumnElement[bool]:
    if number is None:
        return file.c.gone_scan.is_(None)
    return sa.and_(file.c.first_scan <= number, sa.or_(file.c.gone_scan.is_(None), file.c.gone_scan > number))


def _stored(rows: list[sa.Row[Any]]) -> Stored:
    one = rows[0]
    shards = tuple(
        Shard(
            row.container_id,
            None if row.number == WHOLE else row.number,
            row.start,
            row.length,
            _bytes(row.cid),
            row.car_offset,
        )
        for row in rows
        if row.container_id is not None
    )
    return Stored(
        bytes(one.path),
        one.kind,
        one.size,
        one.mtime,
        _bytes(one.target),
        _bytes(one.file_cid),
        shards,
        _bytes(one.header),
    )


def _bytes(value: bytes | memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
