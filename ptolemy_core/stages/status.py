"""How far a project is, from the catalog alone; the pipeline adds what its runs say."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog import containers, progress, waiting
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import car, container
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.errors import StagingError
from ptolemy_core.stages import free_space

_RECENT = 60.0
"""Seconds: CARs built in the last ones count for the rate."""


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
        rate: bytes of CARs a second, of the last minute's builds and those under way; 0 if there are none.
    """

    scanned: bool
    unplanned: bool
    containers: int
    built: int
    car_bytes: int
    built_bytes: int
    tasks: list[progress.Task]
    waiting: Waiting | None = None
    rate: float = 0.0

    @property
    def done(self) -> str:
        """The last stage whose result stands: defined, scan, containerization or blitz."""
        if not self.scanned:
            return "defined"
        if self.unplanned or not self.containers:
            return "scan"
        return "blitz" if self.built == self.containers else "containerization"


@survives_outage
def standing(catalog: Catalog, name: str) -> Standing:
    """The standing of a project."""
    totals = containers.totals(catalog, name)
    tasks = progress.running(catalog, name)
    with catalog.read() as connection:
        scanned = connection.scalar(
            sa.select(scans.c.id).where(scans.c.project == name, scans.c.finished_at.is_not(None)).limit(1)
        )
        unplanned = connection.execute(containers.unplanned(connection, name).limit(1)).first()
        recent = connection.execute(
            sa.select(sa.func.sum(car.c.car_size), sa.func.min(car.c.built_at - car.c.build_seconds))
            .join(container, container.c.id == car.c.container_id)
            .where(container.c.project == name, car.c.built_at > time.time() - _RECENT)
        ).one()
    return Standing(
        scanned=scanned is not None,
        unplanned=unplanned is not None,
        containers=totals.containers,
        built=totals.built,
        car_bytes=totals.car_bytes,
        built_bytes=totals.built_bytes,
        tasks=tasks,
        waiting=_waiting(catalog, name),
        rate=_rate(
            int(recent[0] or 0), recent[1], [task for task in tasks if task.task.startswith("build ")]
        ),
    )


def _waiting(catalog: Catalog, name: str) -> Waiting | None:
    try:
        return free_space.still_waiting(catalog, name)
    except StagingError:  # free space doesn't come by itself: what the blitz met still holds
        return next(iter(waiting.rows(catalog, name)), None)


def _rate(built: int, since: float | None, builds: list[progress.Task]) -> float:
    done = built + sum(task.done for task in builds)
    starts = [task.started_at for task in builds] + ([] if since is None else [since])
    return done / max(time.time() - min(starts), 1e-3) if starts else 0.0
