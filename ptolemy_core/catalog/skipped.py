"""What is in no CAR though it was found: entries that a scan left out, files that a build dropped."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from ptolemy_core.catalog.schema import file, scan
from ptolemy_core.catalog.schema import skipped as table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.tree import paths


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that is in no CAR.

    Attributes:
        project: that it belongs to.
        path: for people.
        reason: why it was left out.
        at: when, seconds since 1970.
        stage: "scan", which left it out, or "blitz", which dropped it from its container.
        container, shard: that a blitz dropped it from, and of a split file the number of the shard.
        current: whether the last scan still saw this version of it.
    """

    project: str
    path: str
    reason: str
    at: float
    stage: Literal["scan", "blitz"]
    container: int | None
    shard: int | None
    current: bool


def withdrawn() -> sa.ColumnElement[bool]:
    """Of a query on files: whether a build has dropped this version, or a shard of it."""
    return sa.exists().where(table.c.file_id == file.c.id)


def any_dropped(catalog: Catalog, project: str, number: int | None = None) -> bool:
    """Whether a build has dropped something of a project, or of its container of that number."""
    query = sa.select(table.c.id).where(table.c.project == project).limit(1)
    if number is not None:
        query = query.where(table.c.container == number)
    with catalog.read() as connection:
        return connection.scalar(query) is not None


def rows(catalog: Catalog, project: str, *, current: bool = False) -> Iterator[Skipped]:
    """All entries of a project that a scan left out or a blitz dropped, by path and then by time.

    Args:
        catalog: that holds the project.
        project: its name.
        current: only those that the last scan still saw so.
    """
    left_out = (
        sa.select(
            file.c.path,
            file.c.reason,
            scan.c.started_at.label("at"),
            sa.literal("scan").label("stage"),
            sa.null().label("container"),
            sa.literal(WHOLE).label("shard"),
            file.c.gone_scan,
        )
        .join(scan, scan.c.id == file.c.first_scan)
        .where(file.c.project == project, file.c.kind < 0)
    )
    dropped = (
        sa.select(
            file.c.path,
            table.c.reason,
            table.c.skipped_at.label("at"),
            sa.literal("blitz").label("stage"),
            table.c.container,
            table.c.shard,
            file.c.gone_scan,
        )
        .join(file, file.c.id == table.c.file_id)
        .where(table.c.project == project)
    )
    both: Any = sa.union_all(left_out, dropped).subquery()
    query = sa.select(both).order_by(both.c.path, both.c.at)
    if current:
        query = query.where(both.c.gone_scan.is_(None))
    with catalog.read() as connection:
        for row in connection.execution_options(yield_per=5000).execute(query):
            yield Skipped(
                project=project,
                path=paths.display(bytes(row.path)),
                reason=row.reason,
                at=row.at,
                stage=row.stage,
                container=row.container,
                shard=None if row.shard == WHOLE else row.shard,
                current=row.gone_scan is None,
            )
