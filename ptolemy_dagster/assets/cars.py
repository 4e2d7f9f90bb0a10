"""The built CARs of a project: one run, up to 256 batches in parallel, a receipt per CAR, and a seal.

A batch builds only what has no receipt, so any step may die and be run again. The seal compares receipts with
the plan: a run that lost steps on the way can't succeed. A serial project's batch ends early when staging_dir is full
of finished CARs; it names what it leaves, and the seal lets those alone be missing.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from ptolemy_core.car import BuildOptions
from ptolemy_core.catalog import Catalog, containers, projects, skipped, waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.workers import Heartbeat
from ptolemy_core.errors import PtolemyError, StagingError
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages import batch, blitz, reservation
from ptolemy_core.stages.blitz import Building
from ptolemy_core.stages.order import Until
from ptolemy_core.status import free_space
from ptolemy_core.status.builds import last_build_period
from ptolemy_dagster import charts, data_versions, lost_cars, show
from ptolemy_dagster.assets import GROUP, OWNERS, SINGLE_CARS
from ptolemy_dagster.assets.plan import container_plan
from ptolemy_dagster.failures import AGAIN, as_failure, failure
from ptolemy_dagster.internals.events import CarEvents
from ptolemy_dagster.live import Live
from ptolemy_dagster.partitions import car_key, car_partitions, parse_car_key, project_partitions
from ptolemy_dagster.resources import BUILD_PROCESSES, Builder, CatalogResource
from ptolemy_dagster.weight import BUILDS, ENTRIES

# data versions of outputs are a beta of Dagster; pyproject.toml holds Dagster to versions where they were tested
warnings.filterwarnings("ignore", message="Parameter `data_version` of initializer `Output")

MAX_BATCHES = 256
"""Steps of one blitz at most: more cost Dagster far more than they give (each step resolves the fan-out)."""


_BUILD_ONLY = ("blitz", "carry_on", Until.BLITZ.job)
"""Jobs in which nothing comes after the CARs."""
_BATCHES_PER_PROCESS = 4
_BATCH_BYTES = 1 << 30


@dg.asset(
    name="car",
    partitions_def=car_partitions,
    retry_policy=AGAIN,
    deps=[container_plan],
    group_name=SINGLE_CARS,
    owners=OWNERS,
    kinds={"car", "file"},
    description="One CAR, by project and container number. Materialize it to build it alone, or to rebuild "
    "a CAR whose file isn't in the staging folder any more.",
)
def car(
    context: dg.AssetExecutionContext, catalog: CatalogResource, builder: Builder
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Build one CAR."""
    with as_failure():
        project, number = parse_car_key(context.partition_key)
        opened = catalog.open_for(project)
        with Heartbeat(opened) as heartbeat, heartbeat.building(project, number):
            built, new = blitz.build_container(
                opened, project, number, Building(BuildOptions(builder.threads), rebuild=True)
            )
    if built is None:
        context.log.warning("nothing is left of this container: all of its files were skipped")
        return dg.MaterializeResult(metadata={"items": 0})
    if not new:
        context.log.info(f"{built.file_name} is built and in place: nothing to do")
    return dg.MaterializeResult(metadata=(show.car_metadata(built)))


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch did: CARs built, and the containers that it left for want of free space."""

    built: int
    left: list[int] = field(default_factory=list)


@dg.op(
    retry_policy=AGAIN,
    ins={"start": dg.In(dg.Nothing)},
    out=dg.DynamicOut(list),
    tags=ENTRIES,
    description="The containers of the plan that have no receipt, in batches.",
)
def pending(
    context: dg.OpExecutionContext, catalog: CatalogResource
) -> Iterator[dg.DynamicOutput[list[int]]]:
    """Batches of container numbers to build."""
    name = context.partition_key
    with as_failure():
        opened = catalog.open_for(name)
        todo = blitz.pending(opened, name)
        project = projects.get(opened, name)
        serial = project.load_type == "serial"
        if todo:
            reservation.drop_parts(opened, project)
        missing = free_space.missing(opened, project)
    if missing:
        context.log.warning(lost_cars.missing(missing))
    if not todo:
        waiting.clear(opened, name)
        context.log.info("nothing to build: every container has its CAR")
        return
    total = sum(row.car_size for row in todo)
    step = math.ceil(len(todo) / (1 if serial else _batches(total)))
    context.log.info(f"{counted(len(todo), 'CAR')} to build, {readable(total)}, {step} in a batch")
    for low in range(0, len(todo), step):
        batch = [row.number for row in todo[low : low + step]]
        yield dg.DynamicOutput(batch, mapping_key=f"from_{batch[0]:06d}_to_{batch[-1]:06d}")


def _batches(total: int) -> int:
    """How many steps a blitz of so many bytes is worth: a step costs Dagster a third of a second."""
    return min(MAX_BATCHES, max(_BATCHES_PER_PROCESS * BUILD_PROCESSES, total // _BATCH_BYTES))


@dg.op(
    retry_policy=AGAIN,
    tags=BUILDS,
    description="Builds the CARs of one batch, and records each as a materialization of asset car.",
)
def build_batch(
    context: dg.OpExecutionContext, catalog: CatalogResource, builder: Builder, numbers: list[int]
) -> dict[str, Any]:
    """Build each CAR of a batch, also after one failed; returns a `Batch` as JSON."""
    with as_failure():
        opened = catalog.open_for(context.partition_key)
    name = context.partition_key
    with Heartbeat(opened) as heartbeat:
        observer = _Observer(context, opened, heartbeat)
        how = Building(BuildOptions(builder.threads), progress=lambda _: observer.live.building())
        with as_failure():
            result = batch.build_batch(opened, name, numbers, how, observer)
        observer.events.write()
    if result.failed:
        said = [_said(number, error) for number, error in result.failed]
        raise failure([error for _, error in result.failed], "\n".join(said))
    if result.waits:
        context.log.warning(result.waits)
    return asdict(Batch(result.built, result.left))


class _Observer:
    """Tells Dagster what a batch does: an event per CAR, progress, and this process in the list of workers."""

    def __init__(self, context: dg.OpExecutionContext, opened: Catalog, heartbeat: Heartbeat) -> None:
        self._context = context
        self._project: str = context.partition_key
        self._heartbeat = heartbeat
        self.events = CarEvents(context, self._project)
        self.live = Live(context, opened, "build", at_once=True)

    def building(self, number: int) -> AbstractContextManager[object]:
        """A container is being built."""
        self.live.building()
        return self._heartbeat.building(self._project, number)

    def built(self, row: CarRow) -> None:
        """A CAR is built."""
        self.events.add(row)

    def failed(self, number: int, error: PtolemyError) -> None:
        """A container couldn't be built."""
        self._context.log.error(_said(number, error))


def _said(number: int, error: PtolemyError) -> str:
    """The error of a container; the staging folder's are about no container."""
    return str(error) if isinstance(error, StagingError) else f"CAR {number:06d}: {error}"


@dg.op(
    retry_policy=AGAIN,
    out=dg.Out(dg.Nothing, is_required=False),
    tags=ENTRIES,
    description="Fails unless every container of the plan has a receipt, or was left for want of free space.",
)
def seal(
    context: dg.OpExecutionContext, catalog: CatalogResource, batches: list[dict[str, Any]]
) -> Iterator[dg.Output[None]]:
    """See that the CARs are complete, and show them."""
    name = context.partition_key
    done = [Batch(**batch) for batch in batches]
    left = {number for batch in done for number in batch.left}
    with as_failure():
        sealed = blitz.seal(catalog.open(), name, left=left)
        dropped = [one for one in skipped.rows(catalog.open(), name, current=True) if one.stage == "blitz"]
        missing = free_space.missing(catalog.open(), projects.get(catalog.open(), name))
    if dropped:
        context.log.warning(
            f"{counted(len(dropped), 'file was', 'files were')} skipped, the first is {dropped[0].path}"
        )
    _record_missing_events(context, name, sealed)
    all_bytes = sum(row.car_size for row in sealed)
    kept_out = skipped.not_stored(catalog.open(), name)
    said = f"build 100%, {counted(len(sealed), 'CAR')}, {readable(all_bytes)}"
    Live(context, catalog.open(), "build").ended(f"{said}; {kept_out}" if kept_out.total else said)
    version = data_versions.of_cars(sealed)
    if not missing and not left and _is_shown_already(context, version):
        context.log.info("these CARs existed before: nothing new to show")
        return
    yield dg.Output(
        None,
        data_version=version,
        metadata={
            **show.of_cars(sealed),
            "built in this run": sum(batch.built for batch in done),
            **show.unless_empty(
                {
                    "left for later": len(left),
                    "waits for": show.waiting(waiting.rows(catalog.open(), name)) if left else "",
                    "missing": lost_cars.missing(missing),
                    "dead": sum(row.dead_at is not None for row in sealed),
                    "skipped": len(dropped),
                    "in no CAR": str(kept_out),
                    "files skipped": show.table(
                        ("path", "reason"), ((one.path, one.reason) for one in dropped)
                    )
                    if dropped
                    else "",
                }
            ),
            "staging folder": dg.MetadataValue.path(projects.get(catalog.open(), name).staging_dir),
            "fill": charts.fill_chart(containers.rows(catalog.open(), name)),
            "build rate": charts.rate_chart(last_build_period(sealed)),
            "table": show.car_table(sealed),
        },
    )


def _is_shown_already(context: dg.OpExecutionContext, version: dg.DataVersion) -> bool:
    """Whether the asset has these very CARs, in a run that does nothing with them but build.

    A new materialization would make the checks of the one before look out of date.
    """
    if context.job_name not in _BUILD_ONLY:
        return False
    return data_versions.last_of(context.instance, "built_cars", context.partition_key) == version.value


def _record_missing_events(context: dg.OpExecutionContext, name: str, sealed: list[CarRow]) -> None:
    """A worker may die between a receipt and its event: those CARs get their event now."""
    known = context.instance.get_materialized_partitions(dg.AssetKey("car"))
    events = CarEvents(context, name)
    for row in sealed:
        if car_key(name, row.number) not in known:
            events.add(row)
    events.write()


@dg.graph_asset(
    partitions_def=project_partitions,
    ins={"container_plan": dg.AssetIn(dagster_type=dg.Nothing)},
    group_name=GROUP,
    owners=OWNERS,
    kinds={"car", "file"},
    description="All CARs of a project, in its staging folder: the blitz. A CAR with a receipt isn't built again, so "
    "it may be stopped and run again at any time. While it runs, its progress is here and on the run's page; each "
    "CAR with its CIDs is a partition of asset `car`.",
)
def built_cars(container_plan: None) -> None:
    """Build what the plan holds and no receipt covers."""
    return seal(pending(start=container_plan).map(build_batch).collect())  # type: ignore[no-any-return]
