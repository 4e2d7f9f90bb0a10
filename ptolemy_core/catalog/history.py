"""What was when: the versions of files that scans saw, and what a scan found new, changed and gone."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ptolemy_core.catalog.joins import at_or_below
from ptolemy_core.catalog.schema import absence, car, container, file, scan, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import StageOrderError
from ptolemy_core.tree import KIND_NAMES, paths

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an entry: it has a new one whenever its kind, size, mtime or link target changed.

    Attributes:
        path: as `paths.escape` writes it.
        kind: one of `KIND_NAMES`.
        size: bytes.
        mtime: nanoseconds since 1970.
        first_scan, gone_scan: the scan that saw it first; the one that didn't see it so any more (None: current).
        absences: scans that missed it, each with the one that met it again.
        containers: numbers of those that hold it.
        cars: file names of those of them that are built.
    """

    path: str
    kind: str
    size: int
    mtime: int
    first_scan: int
    gone_scan: int | None
    absences: list[tuple[int, int]]
    containers: list[int]
    cars: list[str]


def versions(catalog: Catalog, project: str, text: str = "") -> Iterator[Version]:
    """All versions of the entry of this path, and of all entries below it; without a path, of all.

    By path, and then the older ones first.
    """
    path = paths.from_display(text)
    query = sa.select(file).where(file.c.project == project).where(at_or_below(path))
    holders = (
        sa.select(shard.c.file_id, container.c.number, car.c.file_name)
        .join(container, container.c.id == shard.c.container_id)
        .outerjoin(car, car.c.container_id == container.c.id)
        .distinct()
        .order_by(shard.c.file_id, container.c.number)
    )
    with catalog.read() as connection:
        rows = connection.execution_options(yield_per=_PAGE).execute(
            query.order_by(file.c.path, file.c.first_scan, file.c.id)
        )
        for page in rows.partitions():
            containers: dict[int, list[Any]] = {}
            away: dict[int, list[tuple[int, int]]] = {}
            for low in range(0, len(page), 500):
                keys = [row.id for row in page[low : low + 500]]
                for row in connection.execute(holders.where(shard.c.file_id.in_(keys))):
                    containers.setdefault(row.file_id, []).append(row)
                for row in connection.execute(sa.select(absence).where(absence.c.file_id.in_(keys))):
                    away.setdefault(row.file_id, []).append((row.gone_scan, row.back_scan))
            for row in page:
                yield Version(
                    path=paths.escape(bytes(row.path)),
                    kind=KIND_NAMES[row.kind],
                    size=row.size,
                    mtime=row.mtime,
                    first_scan=row.first_scan,
                    gone_scan=row.gone_scan,
                    absences=sorted(away.get(row.id, [])),
                    containers=[one.number for one in containers.get(row.id, [])],
                    cars=[one.file_name for one in containers.get(row.id, []) if one.file_name],
                )


@dataclass(frozen=True, slots=True)
class Change:
    """What a scan found of one path: `was` and `now` are sizes in bytes, None where there was no entry."""

    what: Literal["added", "changed", "gone"]
    path: str
    was: int | None
    now: int | None


def scan_started(catalog: Catalog, number: int) -> float:
    """When a scan began: with its number it tells scans apart, as SQLite gives the number of a deleted one again."""
    with catalog.read() as connection:
        found: float | None = connection.execute(
            sa.select(scan.c.started_at).where(scan.c.id == number)
        ).scalar()
    return found or 0.0


def last_scan(catalog: Catalog, project: str, number: int | None = None) -> int:
    """The number of the project's last finished scan, or `number` if that is one.

    Raises:
        StageOrderError: there is none.
    """
    finished = _finished(catalog, project)
    if not finished:
        raise StageOrderError.needs(project, "isn't scanned yet", "scan")
    if number is not None and number not in finished:
        known = ", ".join(map(str, finished[-10:]))
        raise StageOrderError(f"project {project!r} has no finished scan {number}; its last ones are {known}")
    return number if number is not None else finished[-1]


def changes(catalog: Catalog, project: str, number: int) -> Iterator[Change]:
    """What a finished scan found other than the finished one before it, by path.

    Changes found by an interrupted scan in between count as changes of this one.
    """
    before = max((n for n in _finished(catalog, project) if n < number), default=0)
    touched = sa.or_(
        sa.and_(file.c.first_scan > before, file.c.first_scan <= number),
        sa.and_(file.c.gone_scan > before, file.c.gone_scan <= number),
        sa.exists().where(
            absence.c.file_id == file.c.id,
            sa.or_(
                sa.and_(absence.c.gone_scan > before, absence.c.gone_scan <= number),
                sa.and_(absence.c.back_scan > before, absence.c.back_scan <= number),
            ),
        ),
    )
    query = (
        sa.select(file.c.id, file.c.path, file.c.size, _live_at(before), _live_at(number))
        .where(file.c.project == project, touched)
        .order_by(file.c.path)
    )
    with catalog.read() as connection:
        rows = connection.execution_options(yield_per=5000).execute(query)
        for path, group in itertools.groupby(rows, key=lambda row: bytes(row.path)):
            was = now = None
            for row in group:
                was = row if row[3] else was
                now = row if row[4] else now
            if (was is None and now is None) or (was is not None and now is not None and was.id == now.id):
                continue
            yield Change(
                what="added" if was is None else "gone" if now is None else "changed",
                path=paths.escape(path),
                was=None if was is None else was.size,
                now=None if now is None else now.size,
            )


def _live_at(number: int) -> sa.ColumnElement[bool]:
    """Whether a scan saw a version."""
    return sa.and_(
        file.c.first_scan <= number,
        sa.or_(file.c.gone_scan.is_(None), file.c.gone_scan > number),
        ~sa.exists().where(
            absence.c.file_id == file.c.id, absence.c.gone_scan <= number, absence.c.back_scan > number
        ),
    )


def _finished(catalog: Catalog, project: str) -> list[int]:
    query = sa.select(scan.c.id).where(scan.c.project == project, scan.c.finished_at.is_not(None))
    with catalog.read() as connection:
        return list(connection.scalars(query.order_by(scan.c.id)))
