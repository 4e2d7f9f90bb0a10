"""Blitz: each container of the plan that has no receipt yet becomes a CAR, and then has one."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from ptolemy_core.car import BuiltCar, build_car
from ptolemy_core.car.fill import THREADS, UNIT
from ptolemy_core.catalog import cars, containers, deletions, delivery, projects, skipped, waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.stitched import stitch_files
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import BusyError, ReceiptError, SourceError, StageOrderError
from ptolemy_core.interrupts import held
from ptolemy_core.layout import Layout, compute_layout
from ptolemy_core.project import Project
from ptolemy_core.source import Inputs
from ptolemy_core.stages import free_space
from ptolemy_core.stages.car_state import area_of
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.stages.skip import drop_unreadable, source_of
from ptolemy_core.staging.area import part_name

_PAUSE = 1.0
"""Seconds until a build is tried again that another's try was in the way of."""


def pending(catalog: Catalog, name: str) -> list[ContainerRow]:
    """The containers of a project that have no receipt yet.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: it isn't scanned or containerized.
    """
    require(catalog, name, Stage.BLITZ)
    return [row for row in containers.rows(catalog, name) if not row.built]


def build_container(
    catalog: Catalog,
    name: str,
    number: int,
    *,
    rebuild: bool = False,
    threads: int = THREADS,
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
        unit: bytes of a fill unit.
        profile: of the DAG.
        progress: called with bytes of the CAR done since the last call.

    Returns:
        the CAR, and whether this call built it; None if all of its files were dropped.

    Raises:
        UnknownProjectError, StageOrderError: no such project or container.
        SourceError: a file isn't what the scan saw.
        StagingError: the staging folder can't take the CAR; a NoRoomError where finished CARs must leave it first.
        ReceiptError: the plan changed meanwhile.
    """
    project = projects.get(catalog, name)
    end = time.monotonic() + free_space.WAIT
    while True:
        try:
            new = _build_once(catalog, project, number, rebuild, threads, unit, profile, progress)
            return next(cars.rows(catalog, name, number), None), new
        except BusyError:  # of two processes that build it, one lost the catalog's lock with its connection
            if time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


def _build_once(
    catalog: Catalog,
    project: Project,
    number: int,
    rebuild: bool,
    threads: int,
    unit: int,
    profile: Profile,
    progress: Callable[[int], None] | None,
) -> bool:
    """Build a CAR unless it is there; whether it was built."""
    name = project.name
    with catalog.lock(
        free_space.build_lock(name, number), wait=free_space.WAIT
    ):  # another's receipt is then ours
        found = next(cars.rows(catalog, name, number), None)
        if found is not None and (not rebuild or area_of(project).has(found.file_name, found.car_size)):
            return False
        row = next(iter(containers.rows(catalog, name, number)), None)
        if row is None:
            if skipped.any_dropped(catalog, name, number):
                return False
            raise StageOrderError(f"project {name!r} has no container {number}: run containerize, then blitz")
        if found is not None:
            _require_sources(catalog, found)
        with free_space.reserved(catalog, project, number, row.car_size, profile), held() as hold:
            started = time.monotonic()

            def report(done: int) -> None:
                hold.check()
                if progress:
                    progress(done)

            while True:
                try:
                    with hold.interruptible():
                        prepared = _prepare(catalog, project, row, profile)
                    built = _build(catalog, prepared, threads, unit, report)
                    break
                except SourceError as error:
                    if found is not None or project.on_error != "skip":
                        raise
                    row = drop_unreadable(catalog, project, row, error, profile)
                    if row is None:
                        return False
            if found is None:
                cars.write_receipt(catalog, row.id, built, time.monotonic() - started)
                waiting.clear(catalog, name)
            else:
                delivery.set_unverified(catalog, found)  # this file was never read back
                _require_same(built, found)
    if any(item.nodes for item in built.items):
        stitch_files(catalog, name, profile)
    return True


def _require_sources(catalog: Catalog, row: CarRow) -> None:
    gone = deletions.of_container(catalog, row.container_id)
    if gone:
        place = f" from {row.delivered_to}" if row.delivered_to else " from where it was delivered to"
        raise SourceError(
            f"CAR {row.number:06d} of project {row.project!r} can't be rebuilt: {gone} of its sources were deleted "
            f"after its delivery (`ptolemy deleted {row.project}` lists them); fetch {row.file_name}{place}"
        )


def _require_same(built: BuiltCar, found: CarRow) -> None:
    if built.piece_cid_v2 != found.piece_cid_v2:
        raise ReceiptError(
            f"container {found.number} of {found.project!r} was rebuilt as {built.file_name}, its receipt says "
            f"{found.file_name}: keep the older CAR if you have it, and report this"
        )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a CAR is built from."""

    project: Project
    row: ContainerRow
    layout: Layout
    source: Inputs


def _prepare(catalog: Catalog, project: Project, row: ContainerRow, profile: Profile) -> _Prepared:
    content = containers.content(catalog, row.id)
    layout = compute_layout(content.items, profile)
    if layout.car_size != row.car_size:
        raise ReceiptError(
            f"container {row.number} of {project.name!r} was planned as {row.car_size} bytes and lays out as "
            f"{layout.car_size}: it was planned by another version; containerize again"
        )
    return _Prepared(project, row, layout, source_of(project, content))


def _build(
    catalog: Catalog,
    prepared: _Prepared,
    threads: int,
    unit: int,
    progress: Callable[[int], None],
) -> BuiltCar:
    project, row, layout = prepared.project, prepared.row, prepared.layout
    reporter = Reporter(catalog, project.name, Task(Work.BUILD, row.number), layout.car_size)
    with reporter:

        def report(done: int) -> None:
            reporter.advance(done)
            progress(done)

        return build_car(
            layout,
            prepared.source,
            project.staging_dir,
            part_name(project.name, row.number),
            threads=threads,
            sha256=project.car_sha256,
            unit=unit,
            progress=report,
        )


def seal(
    catalog: Catalog, name: str, profile: Profile = UNIXFS_V1_2025, *, left: Collection[int] = ()
) -> list[CarRow]:
    """See that every container of the plan has a receipt; returns all CARs.

    Args:
        catalog: that holds the project.
        name: the project's.
        profile: of the DAG.
        left: containers that a serial blitz said it leaves, for want of free space; any other must have its receipt.

    Raises:
        ReceiptError: some have none.
    """
    missing = [row.number for row in pending(catalog, name) if row.number not in left]
    if missing:
        raise ReceiptError(
            f"{len(missing)} CARs of project {name!r} are not built, the first is number {missing[0]}: "
            f"run `ptolemy blitz {name}` again, it goes on where it stopped"
        )
    stitch_files(catalog, name, profile)
    return list(cars.rows(catalog, name))
