"""Blitz: each container of the plan that has no receipt yet becomes a CAR, and then has one."""

import os
import time
from collections.abc import Callable

from ptolemy_core.build import BuiltCar, build_car
from ptolemy_core.build.fill import THREADS, UNIT
from ptolemy_core.catalog import cars, containers, projects, skipped
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.progress import Reporter
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import ReceiptError, SourceError, StageOrderError
from ptolemy_core.layout import compute_layout
from ptolemy_core.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.project import Project
from ptolemy_core.stages.containerize import require_scan
from ptolemy_core.stages.skip import drop_unreadable, source_of
from ptolemy_core.stages.stitch import stitch_files

_WAIT = 24 * 3600.0
"""Seconds to wait for another process that builds the same CAR: its receipt is then ours."""


def pending(catalog: Catalog, name: str) -> list[ContainerRow]:
    """The containers of a project that have no receipt yet.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: it isn't scanned or containerized.
    """
    projects.get(catalog, name)
    require_scan(catalog, name)
    rows = containers.rows(catalog, name)
    if not rows and not skipped.any_dropped(catalog, name):
        raise StageOrderError(
            f"project {name!r} has no containers yet: run `ptolemy containerize {name}` first "
            "(an empty target makes none)"
        )
    return [row for row in rows if not row.built]


def build_container(
    catalog: Catalog,
    name: str,
    number: int,
    *,
    rebuild: bool = False,
    threads: int = THREADS,
    sha256: bool = True,
    unit: int = UNIT,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> tuple[CarRow | None, bool]:
    """Build the CAR of one container, unless it is built.

    Where the project's on_error is "skip", files that aren't what the scan saw are dropped from it, with a record.

    Args:
        catalog: that holds the project.
        name: the project's.
        number: the container's.
        rebuild: also build it where it has a receipt but its file isn't in the staging folder any more.
        threads: that read and hash at once.
        sha256: whether to hash the CAR's bytes as well; half as much CPU again.
        unit: bytes of a fill unit.
        profile: of the DAG.
        progress: called with bytes of the CAR done since the last call.

    Returns:
        the CAR, and whether this call built it; None if all of its files were dropped.

    Raises:
        UnknownProjectError, StageOrderError: no such project or container.
        SourceError: a file isn't what the scan saw.
        StagingError: the staging folder can't take the CAR.
        ReceiptError: the plan changed meanwhile.
    """
    project = projects.get(catalog, name)
    with catalog.lock(f"build {name} {number}", wait=_WAIT):
        found = next(cars.rows(catalog, name, number), None)
        if found is not None and (not rebuild or in_staging(project, found)):
            return found, False
        row = next((row for row in containers.rows(catalog, name) if row.number == number), None)
        if row is None:
            if skipped.any_dropped(catalog, name, number):
                return None, False
            raise StageOrderError(f"project {name!r} has no container {number}: run containerize, then blitz")
        started = time.monotonic()
        while True:
            try:
                built = _build(catalog, project, row, threads, sha256, unit, profile, progress)
                break
            except SourceError as error:
                if found is not None or project.on_error != "skip":
                    raise
                row = drop_unreadable(catalog, project, row, error, profile)
                if row is None:
                    return None, False
        if found is None:
            cars.write_receipt(catalog, row.id, built, time.monotonic() - started)
        elif built.piece_cid_v2 != found.piece_cid_v2:
            raise ReceiptError(
                f"container {number} of {name!r} was rebuilt as {built.file_name}, its receipt says "
                f"{found.file_name}: keep the older CAR if you have it, and report this"
            )
    if any(item.nodes for item in built.items):
        stitch_files(catalog, name, profile)
    return next(cars.rows(catalog, name, number)), True


def in_staging(project: Project, car: CarRow) -> bool:
    """Whether the CAR's file stands in the staging folder, in its full size."""
    path = os.path.join(project.staging_dir, car.file_name)
    return os.path.isfile(path) and os.path.getsize(path) == car.car_size


def _build(
    catalog: Catalog,
    project: Project,
    row: ContainerRow,
    threads: int,
    sha256: bool,
    unit: int,
    profile: Profile,
    progress: Callable[[int], None] | None,
) -> BuiltCar:
    content = containers.content(catalog, row.id)
    layout = compute_layout(content.items, profile)
    if layout.car_size != row.car_size:
        raise ReceiptError(
            f"container {row.number} of {project.name!r} was planned as {row.car_size} bytes and lays out as "
            f"{layout.car_size}: it was planned by another version; containerize again"
        )
    source = source_of(project, content)
    part = f".{project.name}-{row.number:06d}.car.part"
    reporter = Reporter(catalog, project.name, f"build {row.number:06d}", layout.car_size)
    with reporter:

        def report(done: int) -> None:
            reporter.advance(done)
            if progress:
                progress(done)

        return build_car(
            layout,
            source,
            project.staging_dir,
            part,
            threads=threads,
            sha256=sha256,
            unit=unit,
            progress=report,
        )


def seal(catalog: Catalog, name: str, profile: Profile = UNIXFS_V1_2025) -> list[CarRow]:
    """See that every container of the plan has a receipt; returns all CARs.

    Raises:
        ReceiptError: some have none.
    """
    missing = [row.number for row in pending(catalog, name)]
    if missing:
        raise ReceiptError(
            f"{len(missing)} CARs of project {name!r} are not built, the first is number {missing[0]}: "
            f"run `ptolemy blitz {name}` again, it goes on where it stopped"
        )
    stitch_files(catalog, name, profile)
    return list(cars.rows(catalog, name))
