"""Blitz: each container of the plan that has no receipt yet becomes a CAR, and then has one."""

import time
from collections.abc import Collection
from dataclasses import dataclass

from ptolemy_core.car import BuildOptions, BuiltCar
from ptolemy_core.car.options import DEFAULT_OPTIONS
from ptolemy_core.catalog import (
    cars,
    containers,
    deletions,
    encrypted_cars,
    file_digests,
    projects,
    shards,
    skipped,
    stored_cars,
)
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.stitched import stitch_files
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import (
    BusyError,
    DeadCarError,
    ReceiptError,
    SourceChangedError,
    SourceError,
    StageOrderError,
)
from ptolemy_core.interrupts import Deferral, deferred
from ptolemy_core.keys import KeyProvider
from ptolemy_core.layout import WHOLE
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.sizes import counted
from ptolemy_core.stages import build_job, dead, reservation
from ptolemy_core.stages.build_job import BuildJob
from ptolemy_core.stages.file_digests import file_digests as digests_of
from ptolemy_core.stages.file_digests import hashed
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.stages.skip import drop_unreadable

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


@dataclass(frozen=True, slots=True)
class Building:
    """How a blitz builds.

    Attributes:
        options: of each CAR.
        profile: of the DAG.
        rebuild: also build a CAR that has a receipt, where its file isn't in the staging folder any more.
        progress: called with bytes of the CAR done since the last call.
        keys: of encrypted projects; None: as configured.
    """

    options: BuildOptions = DEFAULT_OPTIONS
    profile: Profile = UNIXFS_V1_2025
    rebuild: bool = False
    progress: Progress | None = None
    keys: KeyProvider | None = None


_USUAL = Building()


def build_container(
    catalog: Catalog, name: str, number: int, how: Building = _USUAL
) -> tuple[CarRow | None, bool]:
    """Build the CAR of one container, unless it is built.

    Where the project's on_error is "skip", files that aren't what the scan saw are dropped from it, with a record.

    Args:
        catalog: of the project.
        name: the project's.
        number: the container's.
        how: to build it.

    Returns:
        the CAR, and whether this call built it; None if all of its files were dropped.

    Raises:
        UnknownProjectError, StageOrderError: no such project or container.
        SourceError: a file isn't what the scan saw.
        StagingError: the staging folder can't take the CAR; a StagingBudgetError if finished CARs must leave first.
        ReceiptError: the plan changed meanwhile.
    """
    project = projects.get(catalog, name)
    end = time.monotonic() + reservation.WAIT
    while True:
        try:
            new = _build_once(catalog, project, number, how)
            return next(cars.rows(catalog, name, number), None), new
        except BusyError:  # of two processes that build it, one lost the catalog's lock with its connection
            if time.monotonic() > end:
                raise
        time.sleep(_PAUSE)


def _build_once(catalog: Catalog, project: Project, number: int, how: Building) -> bool:
    """Build a CAR unless it is there; whether it was built."""
    name = project.name
    lock = reservation.build_lock(name, number)
    with catalog.lock(lock, wait=reservation.WAIT):  # another process's receipt is then ours
        found = next(cars.rows(catalog, name, number), None)
        there = found is not None and stored_cars.of_row(project, found).is_whole()
        if found is not None and not found.named and there:
            encrypted_cars.set_named(catalog, found.container_id)  # its build was killed after that
            return True
        if found is not None and found.named and (not how.rebuild or there):
            return False
        row = next(iter(containers.rows(catalog, name, number)), None)
        if row is None:
            if skipped.any_dropped(catalog, name, number):
                return False
            raise StageOrderError(f"project {name!r} has no container {number}: run containerize, then blitz")
        if found is not None:
            _require_sources(catalog, found)
        with (
            reservation.reserved(catalog, project, number, row.car_size, how.profile),
            deferred() as deferral,
        ):
            started = time.monotonic()
            finished = _build_what_is_left(catalog, project, row, found, how, deferral)
            if finished is None:
                return False
            job, built = finished
            build_job.record(catalog, job, built, time.monotonic() - started)
    if built is not None and (job.content.items.shards != WHOLE).any():
        stitch_files(catalog, name, how.profile)
    return True


def _build_what_is_left(
    catalog: Catalog,
    project: Project,
    row: ContainerRow,
    found: CarRow | None,
    how: Building,
    deferral: Deferral,
) -> tuple[BuildJob, BuiltCar | None] | None:
    """Build a container, where the project says so without the files that can't be; None if nothing is left.

    A file counts as one with other bytes than its CAR was built with only if it reads so twice.
    """
    suspects: frozenset[int] = frozenset()
    while True:
        with deferral.interruptible():
            job = build_job.load(catalog, project, row, how.profile, found)
        try:
            if found is None:
                _hash_files(catalog, job, deferral)
            with Reporter(catalog, project.name, Task(Work.BUILD, row.number), row.car_size) as reporter:

                def report(done: int) -> None:
                    deferral.check()
                    reporter.advance(done)
                    if how.progress:
                        how.progress(done)

                complete = build_job.before_name(catalog, job, time.monotonic())
                built = build_job.work(job, how.options, keys=how.keys, progress=report, complete=complete)
                return job, built
        except SourceError as error:
            if isinstance(error, SourceChangedError):
                again = suspects & set(error.other_content)
                if error.other_content and not again:
                    suspects |= set(error.other_content)
                    continue
                error.other_content = tuple(sorted(again))
                _record_change(catalog, job, error)
            if found is not None or project.on_error != "skip":
                raise
            left = drop_unreadable(catalog, job, error, how.keys)
        if left is None:
            return None
        row, suspects = left, frozenset()


def _hash_files(catalog: Catalog, job: BuildJob, deferral: Deferral) -> None:
    """Record the SHA-256 of the files of a container, if the project says so."""
    if not job.project.file_sha256:
        return
    chosen = hashed(job.content)
    task, total = (
        Task(Work.FILE_SHA256, job.container.number),
        sum(job.content.stamps[k].size for k in chosen),
    )
    with Reporter(catalog, job.project.name, task, total) as reporter:

        def report(done: int) -> None:
            deferral.check()
            reporter.advance(done)

        found = digests_of(job.project, job.content, chosen, report)
        ids = containers.file_ids(catalog, job.container.id)[chosen].tolist()
        file_digests.keep(catalog, dict(zip(ids, found, strict=True)))


def _record_change(catalog: Catalog, job: BuildJob, error: SourceChangedError) -> None:
    """What a source that changed means for what is planned and built of it."""
    receipt = job.receipt
    if receipt is not None and not receipt.named:
        encrypted_cars.abandon(catalog, receipt.container_id)
        return
    if error.other_content:
        dead.content_changed(
            catalog, job.project.name, shards.file_ids(catalog, job.container.id, error.other_content)
        )
    if receipt is not None:
        dead.give_up(catalog, job.project, receipt)


def _require_sources(catalog: Catalog, row: CarRow) -> None:
    if row.dead_at is not None:
        raise DeadCarError(
            f"CAR {row.project}/{row.number} can't be {'generated any more' if row.is_generated else 'built again'}: "
            f"{row.dead_reason}; containerize and blitz make new CARs of what is left",
            reason=row.dead_reason or "",
        )
    gone = deletions.of_container(catalog, row.container_id)
    if gone:
        place = f" from {row.delivered_to}" if row.delivered_to else " from where it was delivered to"
        raise SourceError(
            f"CAR {row.number:06d} of project {row.project!r} can't be rebuilt: {gone} of its sources were deleted "
            f"after its delivery (`ptolemy deleted {row.project}` lists them); fetch {row.file_name}{place}"
        )


def seal(
    catalog: Catalog, name: str, profile: Profile = UNIXFS_V1_2025, *, left: Collection[int] = ()
) -> list[CarRow]:
    """See that every container of the plan has a receipt; returns all CARs.

    Args:
        catalog: where the project is.
        name: the project's.
        profile: of the DAG.
        left: containers that a serial blitz said it leaves, for want of free space; any other must have its receipt.

    Raises:
        ReceiptError: some have none.
    """
    missing = [row.number for row in pending(catalog, name) if row.number not in left]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise ReceiptError(
            f"{counted(len(missing), 'CAR')} of project {name!r} {are} not built, the first is number {missing[0]}: "
            f"run `ptolemy blitz {name}` again, it resumes where it stopped"
        )
    stitch_files(catalog, name, profile)
    return list(cars.rows(catalog, name))
