"""How far a project is, from the catalog alone; the pipeline adds what its runs say."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ptolemy_core.catalog import (
    cars,
    container_plan,
    containers,
    dead_cars,
    overview,
    progress,
    projects,
    scans,
    skipped,
    waiting,
)
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.progress import RunningTask
from ptolemy_core.catalog.skipped import NotStored
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.errors import StagingError
from ptolemy_core.project import Project
from ptolemy_core.status import free_space

_RECENT = 60.0
"""Seconds: CARs built in the last ones count for the rate."""


@dataclass(frozen=True, slots=True)
class ProjectState:
    """What a project has done and is doing.

    Attributes:
        scanned: whether a scan was finished.
        unplanned: whether the last scan found what no container holds yet.
        containers, built: of the plan, and how many of them are CARs.
        car_bytes, built_bytes: of all planned CARs, and of those built.
        tasks: under way now, in any process.
        waiting: what the next CAR of a serial project waits for; None if it doesn't wait.
        rate: bytes of CARs a second, of the last minute's builds and those under way; 0 if there are none.
        not_stored: entries of the last scan that are in no CAR and won't be.
        dead: generated CARs that can't be generated any more, since their source changed.
        car_storage: how CARs that aren't built yet will be stored.
        verified, delivered: built CARs that passed verification, and that are marked as delivered.
    """

    scanned: bool
    unplanned: bool
    containers: int
    built: int
    car_bytes: int
    built_bytes: int
    tasks: list[RunningTask]
    waiting: Waiting | None = None
    rate: float = 0.0
    not_stored: NotStored = field(default=NotStored())
    dead: int = 0
    car_storage: str = "staged"
    verified: int = 0
    delivered: int = 0

    @property
    def done(self) -> str:
        """The last stage whose result is there: defined, scan, containerization or blitz."""
        if not self.scanned:
            return "defined"
        if self.unplanned or not self.containers:
            return "scan"
        return "blitz" if self.built == self.containers else "containerization"

    @property
    def is_empty(self) -> bool:
        """Whether the last scan found nothing to store, and no earlier one did."""
        return self.scanned and not self.unplanned and not self.containers and not self.not_stored.dropped


@survives_outage
def project_state(catalog: Catalog, name: str) -> ProjectState:
    """The state of a project."""
    totals = containers.totals(catalog, name)
    tasks = progress.running(catalog, name)
    recent = cars.built_since(catalog, name, time.time() - _RECENT)
    return ProjectState(
        scanned=scans.is_scanned(catalog, name),
        unplanned=container_plan.any_unplanned(catalog, name),
        containers=totals.containers,
        built=totals.built,
        car_bytes=totals.car_bytes,
        built_bytes=totals.built_bytes,
        tasks=tasks,
        waiting=_waiting(catalog, name),
        rate=_rate(recent.size, recent.began, [task for task in tasks if task.is_build]),
        not_stored=skipped.not_stored(catalog, name),
        dead=len(dead_cars.rows(catalog, name)),
        car_storage=projects.get(catalog, name).car_storage,
        verified=totals.verified,
        delivered=totals.delivered,
    )


def project_states(catalog: Catalog, names: Sequence[str]) -> dict[str, tuple[Project, ProjectState]]:
    """Settings and states of many projects, in few statements; of names that no project has, nothing."""
    found: dict[str, tuple[Project, ProjectState]] = {}
    for name, one in overview.of(catalog, names, _RECENT).items():
        if one.busy or one.incomplete:
            found[name] = one.project, project_state(catalog, name)
            continue
        totals = one.totals
        found[name] = (
            one.project,
            ProjectState(
                scanned=one.scanned,
                unplanned=one.unplanned,
                containers=totals.containers,
                built=totals.built,
                car_bytes=totals.car_bytes,
                built_bytes=totals.built_bytes,
                tasks=[],
                car_storage=one.project.car_storage,
                verified=totals.verified,
                delivered=totals.delivered,
            ),
        )
    return {name: found[name] for name in names if name in found}


def _waiting(catalog: Catalog, name: str) -> Waiting | None:
    try:
        return free_space.still_waiting(catalog, name)
    except StagingError:  # free space doesn't come by itself: what the blitz met still holds
        return next(iter(waiting.rows(catalog, name)), None)


def _rate(built: int, since: float | None, builds: Sequence[RunningTask]) -> float:
    done = built + sum(task.done for task in builds)
    starts = [task.started_at for task in builds] + ([] if since is None else [since])
    return done / max(time.time() - min(starts), 1e-3) if starts else 0.0
