"""How far a project is, from the catalog alone; the pipeline adds what its runs say."""

from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog import containers, progress, waiting
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.errors import StagingError
from ptolemy_core.stages import room


@dataclass(frozen=True, slots=True)
class Standing:
    """What a project has done and is doing.

    Attributes:
        scanned: whether a scan was finished.
        unplanned: whether the last scan found what no container holds yet.
        containers, built: of the plan, and how many of them are CARs.
        car_bytes, built_bytes: of all planned CARs, and of those built.
        tasks: under way now, in any process.
        waiting: what the next CAR of a serial project waits for; None if it doesn't wait.
    """

    scanned: bool
    unplanned: bool
    containers: int
    built: int
    car_bytes: int
    built_bytes: int
    tasks: list[progress.Task]
    waiting: Waiting | None = None

    @property
    def done(self) -> str:
        """The last stage whose result stands: defined, scan, containerization or blitz."""
        if not self.scanned:
            return "defined"
        if self.unplanned or not self.containers:
            return "scan"
        return "blitz" if self.built == self.containers else "containerization"


def standing(catalog: Catalog, name: str) -> Standing:
    """The standing of a project."""
    rows = containers.rows(catalog, name)
    with catalog.read() as connection:
        scanned = connection.scalar(
            sa.select(scans.c.id).where(scans.c.project == name, scans.c.finished_at.is_not(None)).limit(1)
        )
        unplanned = connection.execute(containers.unplanned(connection, name).limit(1)).first()
    return Standing(
        scanned=scanned is not None,
        unplanned=unplanned is not None,
        containers=len(rows),
        built=sum(row.built for row in rows),
        car_bytes=sum(row.car_size for row in rows),
        built_bytes=sum(row.car_size for row in rows if row.built),
        tasks=progress.running(catalog, name),
        waiting=_waiting(catalog, name),
    )


def _waiting(catalog: Catalog, name: str) -> Waiting | None:
    try:
        return room.still_waiting(catalog, name)
    except StagingError:  # no room comes by itself: what the blitz met stands
        return next(iter(waiting.rows(catalog, name)), None)
