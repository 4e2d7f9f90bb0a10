"""What is in no CAR though it was found: entries that a scan left out, files that a build dropped."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import file, scan
from ptolemy_core.catalog.schema import skipped as table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.source.walk import OWN, SPECIAL
from ptolemy_core.tree import paths


@dataclass(frozen=True, slots=True)
class Skipped:
    """An entry that is in no CAR.

    Attributes:
        project: that it belongs to.
        path: as `paths.escape` writes it.
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


@dataclass(frozen=True, slots=True)
class NotStored:
    """How many entries of a project's last scan are in no CAR, and won't be.

    Attributes:
        unreadable: files and folders that the scan couldn't read, or whose times can't be kept; what is in such a
            folder isn't counted.
        special: named pipes, sockets and devices, which hold no data of their own.
        own: folders that Ptolemy made for itself, as its state: no part of the data.
        dropped: files that a build has dropped, because they weren't what the scan had seen.
    """

    unreadable: int = 0
    special: int = 0
    own: int = 0
    dropped: int = 0

    @property
    def total(self) -> int:
        """All of them that a user would look for in the CARs."""
        return self.unreadable + self.special + self.dropped

    def __str__(self) -> str:
        """In words: "3 entries are in no CAR (2 unreadable, 1 pipe, socket or device)"; empty if there are none."""
        if not self.total:
            return ""
        special = "pipe, socket or device" if self.special == 1 else "pipes, sockets or devices"
        parts = (
            (self.unreadable, "unreadable"),
            (self.special, special),
            (self.dropped, "dropped by a build"),
        )
        which = ", ".join(f"{count:,} {what}" for count, what in parts if count)
        return f"{self.total:,} {'entry is' if self.total == 1 else 'entries are'} in no CAR ({which})"


@survives_outage
def not_stored(catalog: Catalog, project: str) -> NotStored:
    """How many entries of a project's last scan are in no CAR."""
    zero: Any = sa.literal_column("0")  # as the index has it
    reasons = (
        sa.select(file.c.reason, sa.func.count())
        .where(file.c.project == project, file.c.gone_scan.is_(None), file.c.kind < zero)
        .group_by(file.c.reason)
    )
    dropped = (
        sa.select(sa.func.count(table.c.file_id.distinct()))
        .join(file, file.c.id == table.c.file_id)
        .where(table.c.project == project, file.c.gone_scan.is_(None))
    )
    with catalog.read() as connection:
        found = [(str(reason), int(count)) for reason, count in connection.execute(reasons)]
        lost = int(connection.scalar(dropped) or 0)
    own = sum(count for reason, count in found if reason.startswith(OWN))
    special = sum(count for reason, count in found if reason in SPECIAL)
    unreadable = sum(count for _, count in found) - own - special
    return NotStored(unreadable, special, own, lost)


@survives_outage
def left_out(catalog: Catalog, project: str, limit: int) -> list[tuple[str, str]]:
    """The first entries that the last scan left out: path for people, and the reason."""
    zero: Any = sa.literal_column("0")
    query = (
        sa.select(file.c.path, file.c.reason)
        .where(file.c.project == project, file.c.gone_scan.is_(None), file.c.kind < zero)
        .order_by(sa.func.coalesce(file.c.path, file.c.path))  # else each row of the project is looked at
        .limit(limit)
    )
    with catalog.read() as connection:
        return [(paths.escape(bytes(path)), reason) for path, reason in connection.execute(query)]


def withdrawn() -> sa.ColumnElement[bool]:
    """Of a query on files: whether a build has dropped this version, or a shard of it."""
    return sa.exists().where(table.c.file_id == file.c.id)


def any_dropped(catalog: Catalog, project: str, number: int | None = None) -> bool:
    """Whether a build has dropped something of a project, or of its container of that number."""
    with catalog.read() as connection:
        return any_dropped_in(connection, project, number)


def any_dropped_in(connection: Connection, project: str, number: int | None = None) -> bool:
    """`any_dropped` within a transaction."""
    query = sa.select(table.c.id).where(table.c.project == project).limit(1)
    if number is not None:
        query = query.where(table.c.container == number)
    return connection.scalar(query) is not None


def rows(catalog: Catalog, project: str, *, current: bool = False) -> Iterator[Skipped]:
    """All entries of a project that a scan left out or a blitz dropped, by path and then by time.

    Args:
        catalog: where the project is.
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
                path=paths.escape(bytes(row.path)),
                reason=row.reason,
                at=row.at,
                stage=row.stage,
                container=row.container,
                shard=None if row.shard == WHOLE else row.shard,
                current=row.gone_scan is None,
            )
