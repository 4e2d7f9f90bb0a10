"""Scans of a project: which was the newest, and whether it was finished."""

from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import file, scan
from ptolemy_core.catalog.store import Catalog


@dataclass(frozen=True, slots=True)
class ScanRow:
    """A scan: its number in the catalog, and whether it ran to its end."""

    id: int
    finished: bool


@survives_outage
def newest(catalog: Catalog, project: str) -> ScanRow | None:
    """The project's newest scan; None if it was never scanned."""
    query = (
        sa.select(scan.c.id, scan.c.finished_at.is_not(None))
        .where(scan.c.project == project)
        .order_by(scan.c.id.desc())
        .limit(1)
    )
    with catalog.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else ScanRow(row[0], bool(row[1]))


@survives_outage
def holds_at_most(catalog: Catalog, project: str, entries: int) -> bool:
    """Whether the scans of a project found so few entries, all versions counted."""
    some = sa.select(file.c.id).where(file.c.project == project).limit(entries + 1).subquery()
    with catalog.read() as connection:
        return (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= entries
