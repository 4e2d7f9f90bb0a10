"""The building of one container, in three parts: load what it needs, do the work, record the result.

`load` reads the catalog once. `work` is the engine alone: it runs on any machine that sees the source and the staging
area, and in a test without a database. `record` writes once.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ptolemy_core import garbage, interrupts
from ptolemy_core.car import BuildOptions, BuiltCar
from ptolemy_core.catalog import cars, containers, delivery, encrypted_cars, stored_cars, waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow, Content
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.errors import ReceiptError
from ptolemy_core.keys import KeyProvider, WrappedKey
from ptolemy_core.layout import Layout, compute_layout
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.source import Inputs, open_target, refusals
from ptolemy_core.stages.car_form import CarForm, in_car
from ptolemy_core.stages.keys_file import keep_keys
from ptolemy_core.stages.project_keys import ensure_data_keys, project_cipher
from ptolemy_core.staging.area import area_of, part_name
from ptolemy_core.staging.build import Kept, build_car
from ptolemy_core.staging.outlines import rebuild_outline

_MANY = 100_000
"""Blocks of a layout whose making takes memory that is worth giving back."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """All that the building of one container needs.

    Attributes:
        project: its settings say where the source and the staging area are, and what to record.
        container: its plan: number and exact sizes.
        content: its items and their stamps.
        profile: of the DAG.
        receipt: of a CAR that is built again; None for a new one.
        wrapped: data keys of an encrypted project.
        cids: that items must have, by position: those of a CAR that is built again, or that shards of an encrypted
            project had in dead CARs.
    """

    project: Project
    container: ContainerRow
    content: Content
    profile: Profile
    receipt: CarRow | None = None
    wrapped: tuple[WrappedKey, ...] = ()
    cids: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def car_storage(self) -> str:
        """How the CAR is stored: as its receipt says, if it has one, else as the project says now."""
        return self.project.car_storage if self.receipt is None else self.receipt.car_storage

    @property
    def kept(self) -> Kept:
        """What the build keeps of the CAR: of an encrypted one always an outline."""
        generated = self.car_storage == cars.GENERATED
        outline = generated or self.project.is_encrypted
        return Kept(car=not generated, outline=outline, project=self.project.name, profile=self.profile)

    def car_form(self, keys: KeyProvider | None = None) -> CarForm:
        """The content as it is in the CAR.

        Raises:
            EncryptionError: the project's key isn't there.
        """
        return in_car(self.content, project_cipher(self.wrapped, keys, self.profile))

    def inputs(self, form: CarForm) -> Inputs:
        """What the build reads."""
        return form.inputs(open_target(self.project))


def load(
    catalog: Catalog, project: Project, row: ContainerRow, profile: Profile, receipt: CarRow | None
) -> BuildJob:
    """Read what the building of a container needs."""
    wrapped = ensure_data_keys(catalog, project)
    known = project.is_encrypted or receipt is not None
    cids = encrypted_cars.known_cids(catalog, row.id) if known else {}
    return BuildJob(project, row, containers.content(catalog, row.id), profile, receipt, wrapped, cids)


def work(
    job: BuildJob,
    options: BuildOptions,
    *,
    keys: KeyProvider | None = None,
    progress: Progress | None = None,
    complete: Callable[[BuiltCar], None] | None = None,
) -> BuiltCar | None:
    """Build the CAR of a job into its staging area. It needs no catalog.

    Of a generated CAR that has a receipt, the outline is made again, and nothing else: that gives None.

    Args:
        job: what to build.
        options: how; whether the SHA-256 is recorded is the project's setting.
        keys: of encrypted projects; by default as configured.
        progress: called with bytes of the CAR done since the last call.
        complete: called with the complete CAR before it gets its name.

    Raises:
        SourceError: a file isn't what the scan saw.
        StagingError: the staging area can't take the CAR.
        BusyError: another process builds it, or took over.
        ReceiptError: the layout isn't the one that was planned.
        EncryptionError: the project's key isn't there.
    """
    project = job.project
    options = replace(options, sha256=project.car_sha256)
    form = job.car_form(keys)
    if job.receipt is not None and job.receipt.is_generated:
        rebuild_outline(
            stored_cars.of_row(project, job.receipt),
            _lay_out(job, form),
            job.inputs(form),
            options,
            cids=job.cids,
            profile=job.profile,
            progress=progress,
        )
        return None
    return build_car(
        _lay_out(job, form),
        job.inputs(form),
        area_of(project),
        part_name(project.name, job.container.number),
        options,
        kept=replace(job.kept, complete=complete),
        progress=progress,
    )


def _lay_out(job: BuildJob, form: CarForm) -> Layout:
    """Where every byte of the job's CAR goes.

    Raises:
        ReceiptError: that isn't what was planned.
    """
    row = job.container
    with interrupts.let_through():
        layout = compute_layout(form.items, job.profile)
        if len(layout) >= _MANY:
            garbage.give_back()
    if layout.car_size != row.car_size:
        raise ReceiptError(
            f"container {row.number} of {job.project.name!r} was planned as {row.car_size} bytes and lays out as "
            f"{layout.car_size}: it was planned by another version; containerize again"
        )
    return layout


def before_name(catalog: Catalog, job: BuildJob, started: float) -> Callable[[BuiltCar], None] | None:
    """What is done with a complete CAR before it gets its name.

    Its items are compared with what they were before, if they were built. The data keys of an encrypted project are
    written beside its CARs, and the receipt of a new CAR of it; see `encrypted_cars`.

    Args:
        catalog: of the project.
        job: that builds the CAR.
        started: when that began, by `time.monotonic`.
    """
    if not job.project.is_encrypted and job.receipt is None:
        return None

    def complete(built: BuiltCar) -> None:
        wrong = [k for k, cid in sorted(job.cids.items()) if built.items[k].cid != cid]
        if not wrong:
            keep_keys(job.project, job.wrapped)
            if job.receipt is None:
                seconds = time.monotonic() - started
                cars.write_receipt(catalog, job.container.id, built, seconds, job.car_storage, named=False)
            return
        source = open_target(job.project)
        error = refusals.other_content(source.name(job.content.items.paths[wrong[0]]), recorded=True)
        error.item, error.other_content = wrong[0], tuple(wrong)
        raise error

    return complete


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
        if job.project.is_encrypted:
            encrypted_cars.set_named(catalog, job.container.id)  # `before_name` wrote the receipt
        else:
            cars.write_receipt(catalog, job.container.id, built, seconds, job.car_storage)
        waiting.clear(catalog, job.project.name)
        return
    delivery.set_unverified(catalog, job.receipt)
    if not job.receipt.named:
        encrypted_cars.set_named(catalog, job.container.id)
        waiting.clear(catalog, job.project.name)
    if built is not None and built.piece_cid_v2 != job.receipt.piece_cid_v2:
        raise ReceiptError(
            f"container {job.receipt.number} of {job.receipt.project!r} was rebuilt as {built.file_name}, its "
            f"receipt says {job.receipt.file_name}: keep the older CAR if you have it, and report this"
        )
