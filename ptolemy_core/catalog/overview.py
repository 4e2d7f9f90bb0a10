"""What the catalog says of many projects at once, in one statement: enough to know how far each is.

A list of a thousand projects, or a thousand questions a second, can't ask a dozen statements for each of them. What
is rare (work under way, entries in no CAR) is only noted here, and asked for where it is.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog.containers import IS_BUILT, Totals
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.projects import of_row
from ptolemy_core.catalog.schema import car, container, file, progress, project, scan, shard, skipped, waiting
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.project import Project

_TOTALS = ("containers", "built", "bytes", "built_bytes", "verified", "delivered")
"""Columns with `Totals`, in its order."""
_AT_ONCE = 500
"""Projects in one statement."""


@dataclass(frozen=True, slots=True)
class Overview:
    """How far a project is.

    Attributes:
        project: its settings.
        scanned: whether a scan was finished.
        unplanned: whether the last scan found what no container holds yet.
        totals: of its containers.
        busy: whether work is under way, or it waits for free space, or CARs were built since the time asked for.
        incomplete: whether an entry of the last scan was left out, a build dropped something, or a CAR is dead.
    """

    project: Project
    scanned: bool
    unplanned: bool
    totals: Totals
    busy: bool
    incomplete: bool


def _exists(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.Exists:
    return sa.exists().where(table.c.project == project.c.name, *conditions)


def _query() -> sa.Select[Any]:
    """One row for each of the projects `names`."""
    zero: Any = sa.literal_column("0")  # as the index has it
    in_container = sa.exists().where(shard.c.file_id == file.c.id)
    dropped = sa.exists().where(skipped.c.file_id == file.c.id)
    anything_left = _exists(file, file.c.gone_scan.is_(None), file.c.kind >= 0, ~in_container, ~dropped)
    newest = sa.select(scan.c.planned).where(scan.c.project == project.c.name, scan.c.refused.is_(None))
    newest = newest.order_by(scan.c.id.desc()).limit(1).correlate(project)
    planned = sa.func.coalesce(newest.scalar_subquery(), sa.false())
    sums = (
        sa.select(
            container.c.project,
            sa.func.count().label("containers"),
            sa.func.sum(sa.case((IS_BUILT, 1), else_=0)).label("built"),
            sa.func.sum(container.c.car_size).label("bytes"),
            sa.func.sum(sa.case((IS_BUILT, container.c.car_size), else_=0)).label("built_bytes"),
            sa.func.count(car.c.verified_at).label("verified"),
            sa.func.count(car.c.delivered_at).label("delivered"),
            sa.func.count(car.c.dead_at).label("dead"),
            sa.func.max(car.c.built_at).label("last"),
        )
        .outerjoin_from(container, car, car.c.container_id == container.c.id)
        .where(container.c.project.in_(sa.bindparam("names", expanding=True)))
        .group_by(container.c.project)
        .subquery()
    )
    return (
        sa.select(
            project,
            _exists(scan, scan.c.finished_at.is_not(None)).label("is_scanned"),
            sa.case((planned, sa.false()), else_=anything_left).label("is_unplanned"),
            sums.c.containers,
            sums.c.built,
            sums.c.bytes,
            sums.c.built_bytes,
            sums.c.verified,
            sums.c.delivered,
            sa.or_(
                _exists(progress, progress.c.work.is_not(None)),
                _exists(waiting),
                sums.c.last > sa.bindparam("since"),
            ).label("is_busy"),
            sa.or_(
                _exists(file, file.c.gone_scan.is_(None), file.c.kind < zero),
                _exists(skipped),
                sums.c.dead > 0,
            ).label("is_incomplete"),
        )
        .outerjoin_from(project, sums, sums.c.project == project.c.name)
        .where(project.c.name.in_(sa.bindparam("names", expanding=True)))
    )


_QUERY = _query()


@survives_outage
def of(catalog: Catalog, names: Sequence[str], recent: float) -> dict[str, Overview]:
    """What is known of the projects of these names; of names that no project has, nothing.

    Args:
        catalog: of the projects.
        names: theirs.
        recent: seconds that CARs built within count as work under way.
    """
    found: dict[str, Overview] = {}
    names = [name for name in names if is_text(name)]  # databases refuse to look for anything else
    with catalog.read() as connection:
        for low in range(0, len(names), _AT_ONCE):
            given = {"names": names[low : low + _AT_ONCE], "since": time.time() - recent}
            for row in connection.execute(_QUERY, given).mappings():
                found[row["name"]] = Overview(
                    of_row(row),
                    bool(row["is_scanned"]),
                    bool(row["is_unplanned"]),
                    Totals(*(int(row[key] or 0) for key in _TOTALS)),
                    bool(row["is_busy"]),
                    bool(row["is_incomplete"]),
                )
    return found
