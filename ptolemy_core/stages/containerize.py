"""Containerize: what the scan found, and no container holds yet, becomes a plan of containers."""

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import containers, projects
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import StageOrderError
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.layout.plan import PlannedContainer, plan, split
from ptolemy_core.project import Project, padding_warning


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The plan after a run.

    Attributes:
        containers: all of the project (in a dry run: the new ones only).
        new: how many this run planned.
        dropped: how many unbuilt containers were planned anew, because files in them are gone or changed.
        warning: of a car_size that pads badly.
        saved: False in a dry run.
    """

    containers: list[ContainerRow]
    new: int
    dropped: int
    warning: str | None
    saved: bool


@survives_outage
def containerize(
    catalog: Catalog, name: str, *, dry_run: bool = False, profile: Profile = UNIXFS_V1_2025
) -> PlanResult:
    """Plan containers for all that has none.

    Args:
        catalog: that holds the project.
        name: the project's.
        dry_run: only show what would be planned.
        profile: of the DAG.

    Raises:
        UnknownProjectError, BusyError: no such project; another run is planning it.
        StageOrderError: it isn't scanned.
        PlanError: an item fits no container.
    """
    project = projects.get(catalog, name)
    require_scan(catalog, name)
    warning = padding_warning(project.car_size)
    with catalog.lock(
        f"containerize {name}", busy=f"project {name!r} is being containerized already: wait for that run"
    ) as held:
        with catalog.write() as connection:  # one transaction: a plan is there as a whole or not at all
            held()
            dropped = containers.drop_stale(connection, name)
            new, items, file_ids = _plan_new(connection, project, profile, dropped)
            first = containers.save(connection, name, new, items, file_ids) if new else 0
            if dry_run:
                connection.rollback()
        if not dry_run:
            return PlanResult(containers.rows(catalog, name), len(new), dropped, warning, True)
    preview = [
        ContainerRow(0, first + k, c.stop - c.start, c.data_bytes, c.car_size, c.piece_size, False)
        for k, c in enumerate(new)
    ]
    return PlanResult(preview, len(new), dropped, warning, False)


def _plan_new(
    connection: Connection, project: Project, profile: Profile, dropped: int
) -> tuple[list[PlannedContainer], Items, NDArray[np.int64]]:
    found = connection.execute(containers.unplanned(connection, project.name)).all()
    held = containers.partly_planned(connection, project.name) if dropped else {}
    found = sorted([*found, *held], key=lambda row: bytes(row.path)) if held else found
    files = Items(
        [bytes(row.path) for row in found],
        np.array([row.kind for row in found], dtype=np.int8),
        np.array([row.size for row in found], dtype=np.int64),
        np.zeros(len(found), dtype=np.int64),
        np.full(len(found), WHOLE, dtype=np.int32),
    )
    ids = np.array([row.id for row in found], dtype=np.int64)
    items, origin = split(files, project.shard_bytes(profile))
    ids = ids[origin]
    if held:  # what is built stays where it is
        kept = {(row.id, number) for row, numbers in held.items() for number in numbers}
        missing = [
            k
            for k, key in enumerate(zip(ids.tolist(), items.shards.tolist(), strict=True))
            if key not in kept
        ]
        items, ids = items.take(missing), ids[missing]
    return plan(items, project.car_bytes(profile), profile), items, ids


@survives_outage
def require_scan(catalog: Catalog, name: str) -> None:
    """See that a scan of the project was finished.

    Raises:
        StageOrderError: none was.
    """
    with catalog.read() as connection:
        done = connection.scalar(
            sa.select(scans.c.id).where(scans.c.project == name, scans.c.finished_at.is_not(None)).limit(1)
        )
    if done is None:
        raise StageOrderError(f"project {name!r} isn't scanned yet: run `ptolemy scan {name}` first")
