"""The building of one container, in three parts: load what it needs, do the work, record the result.

`load` reads the catalog once. `work` is the engine alone: it runs on any machine that sees the source and the staging
area, and in a test without a database. `record` writes once.
"""

from dataclasses import dataclass, replace

from ptolemy_core import interrupts
from ptolemy_core.car import BuildOptions, BuiltCar
from ptolemy_core.catalog import cars, containers, delivery, stored_cars, waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow, Content
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.errors import ReceiptError
from ptolemy_core.layout import Layout, compute_layout
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.source import Inputs, open_source
from ptolemy_core.staging.area import part_name
from ptolemy_core.staging.build import Kept, build_car
from ptolemy_core.staging.outlines import rebuild_outline


@dataclass(frozen=True, slots=True)
class BuildJob:
    """All that the building of one container needs.

    Attributes:
        project: its settings say where the source and the staging area are, and what to record.
        container: its plan: number and exact sizes.
        content: its items and their stamps.
        profile: of the DAG.
        receipt: of a CAR that is built again; None for a new one.
    """

    project: Project
    container: ContainerRow
    content: Content
    profile: Profile
    receipt: CarRow | None = None

    @property
    def car_storage(self) -> str:
        """How the CAR is stored: as its receipt says, if it has one, else as the project says now."""
        return self.project.car_storage if self.receipt is None else self.receipt.car_storage

    @property
    def kept(self) -> Kept:
        """What the build keeps of the CAR."""
        generated = self.car_storage == cars.GENERATED
        return Kept(car=not generated, outline=generated, profile=self.profile)

    def inputs(self) -> Inputs:
        """What the build reads."""
        source = open_source(self.project.target_bytes)
        return Inputs(source, self.content.items, self.content.stamps, self.content.targets)


def load(
    catalog: Catalog, project: Project, row: ContainerRow, profile: Profile, receipt: CarRow | None
) -> BuildJob:
    """Read what the building of a container needs."""
    return BuildJob(project, row, containers.content(catalog, row.id), profile, receipt)


def work(job: BuildJob, options: BuildOptions, *, progress: Progress | None = None) -> BuiltCar | None:
    """Build the CAR of a job into its staging area. It needs no catalog.

    Of a generated CAR that has a receipt, the outline is made again, and nothing else: that gives None.

    Args:
        job: what to build.
        options: how; whether the SHA-256 is recorded is the project's setting.
        progress: called with bytes of the CAR done since the last call.

    Raises:
        SourceError: a file isn't what the scan saw.
        StagingError: the staging area can't take the CAR.
        BusyError: another process builds it, or took over.
        ReceiptError: the layout isn't the one that was planned.
    """
    project = job.project
    options = replace(options, sha256=project.car_sha256)
    if job.receipt is not None and job.receipt.is_generated:
        rebuild_outline(
            stored_cars.of_row(project, job.receipt),
            _lay_out(job),
            job.inputs(),
            options,
            profile=job.profile,
            progress=progress,
        )
        return None
    return build_car(
        _lay_out(job),
        job.inputs(),
        project.staging_dir,
        part_name(project.name, job.container.number),
        options,
        kept=job.kept,
        progress=progress,
    )


def _lay_out(job: BuildJob) -> Layout:
    """Where every byte of the job's CAR goes.

    Raises:
        ReceiptError: that isn't what was planned.
    """
    row = job.container
    with interrupts.let_through():
        layout = compute_layout(job.content.items, job.profile)
    if layout.car_size != row.car_size:
        raise ReceiptError(
            f"container {row.number} of {job.project.name!r} was planned as {row.car_size} bytes and lays out as "
            f"{layout.car_size}: it was planned by another version; containerize again"
        )
    return layout


def record(catalog: Catalog, job: BuildJob, built: BuiltCar | None, seconds: float) -> None:
    """Write the receipt of a new CAR; of one that was built again, that its new file isn't verified.

    Args:
        catalog: of the project.
        job: what was built.
        built: the CAR; None if only its outline was made again.
        seconds: that it took.

    Raises:
        ReceiptError: the plan changed meanwhile, or the CAR was built again as another one.
    """
    if job.receipt is None:
        assert built is not None
        cars.write_receipt(catalog, job.container.id, built, seconds, job.car_storage)
        waiting.clear(catalog, job.project.name)
        return
    delivery.set_unverified(catalog, job.receipt)
    if built is not None and built.piece_cid_v2 != job.receipt.piece_cid_v2:
        raise ReceiptError(
            f"container {job.receipt.number} of {job.receipt.project!r} was rebuilt as {built.file_name}, its "
            f"receipt says {job.receipt.file_name}: keep the older CAR if you have it, and report this"
        )
