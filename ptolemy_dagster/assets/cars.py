"""The built CARs of a project: one run, up to 256 batches in parallel, a receipt per CAR, and a seal.

A batch builds only what has no receipt, so any step may die and be run again. The seal compares receipts with
the plan: a run that lost steps on the way can't succeed.
"""

import math
from collections.abc import Iterator

import dagster as dg

from ptolemy_core.catalog import cars, containers, projects
from ptolemy_core.errors import PtolemyError, StagingError
from ptolemy_core.sizes import readable
from ptolemy_core.stages import blitz
from ptolemy_core.stages.pace import last_spell
from ptolemy_dagster import charts, show
from ptolemy_dagster.assets import GROUP, OWNERS
from ptolemy_dagster.assets.plan import container_plan
from ptolemy_dagster.failures import as_failure
from ptolemy_dagster.live import Live
from ptolemy_dagster.partitions import car_key, car_partitions, parse_car_key, project_partitions
from ptolemy_dagster.resources import Builder, CatalogResource

MAX_BATCHES = 256
"""Steps of one blitz at most: more cost Dagster far more than they give (each step resolves the fan-out)."""


@dg.asset(
    name="car",
    partitions_def=car_partitions,
    deps=[container_plan],
    group_name=GROUP,
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
        built, new = blitz.build_container(
            catalog.open(), project, number, rebuild=True, threads=builder.threads, sha256=builder.sha256
        )
    if not new:
        context.log.info(f"{built.file_name} is built and in place: nothing to do")
    return dg.MaterializeResult(metadata=(show.car_metadata(built)))


@dg.op(
    ins={"start": dg.In(dg.Nothing)},
    out=dg.DynamicOut(list),
    description="What the plan holds and no receipt covers, in batches.",
)
def pending(
    context: dg.OpExecutionContext, catalog: CatalogResource
) -> Iterator[dg.DynamicOutput[list[int]]]:
    """Batches of container numbers to build."""
    name = context.partition_key
    with as_failure():
        opened = catalog.open()
        todo = blitz.pending(opened, name)
        serial = projects.get(opened, name).load_type == "serial"
    if not todo:
        context.log.info("nothing to build: every container has its CAR")
        return
    step = math.ceil(len(todo) / (1 if serial else MAX_BATCHES))
    total = sum(row.car_size for row in todo)
    context.log.info(f"{len(todo)} CARs to build, {readable(total)}, {step} in a batch")
    for low in range(0, len(todo), step):
        batch = [row.number for row in todo[low : low + step]]
        yield dg.DynamicOutput(batch, mapping_key=f"from_{batch[0]:06d}")


@dg.op(
    retry_policy=dg.RetryPolicy(max_retries=2, delay=1),
    description="Builds the CARs of one batch, and records each as a materialization of asset car.",
)
def build_batch(
    context: dg.OpExecutionContext, catalog: CatalogResource, builder: Builder, numbers: list[int]
) -> int:
    """Build each CAR of a batch; one that fails doesn't keep the others from being built."""
    name = context.partition_key
    opened = catalog.open()
    failed: list[str] = []
    done = 0
    live = Live(context, opened, "build", at_once=True)
    for number in numbers:
        live.building()
        try:
            built, new = blitz.build_container(
                opened,
                name,
                number,
                threads=builder.threads,
                sha256=builder.sha256,
                progress=lambda _: live.building(),
            )
        except StagingError as error:
            raise dg.Failure(description=str(error), allow_retries=False) from None
        except PtolemyError as error:
            context.log.error(f"CAR {number:06d}: {error}")
            failed.append(f"CAR {number:06d}: {error}")
            continue
        if new:
            done += 1
            context.log_event(
                dg.AssetMaterialization(
                    "car", partition=car_key(name, number), metadata=(show.car_metadata(built))
                )
            )
    if failed:
        raise dg.Failure(description="\n".join(failed), allow_retries=False)
    return done


@dg.op(out=dg.Out(dg.Nothing), description="Fails unless every container of the plan has a receipt.")
def seal(context: dg.OpExecutionContext, catalog: CatalogResource, built: list[int]) -> dg.Output[None]:
    """See that the CARs are complete, and show them."""
    name = context.partition_key
    with as_failure():
        sealed = blitz.seal(catalog.open(), name)
    _record_missing_events(context, name, [row.number for row in sealed], catalog)
    all_bytes = sum(row.car_size for row in sealed)
    Live(context, catalog.open(), "build").ended(f"build 100%, {len(sealed):,} CARs, {readable(all_bytes)}")
    return dg.Output(
        None,
        metadata={
            "CARs": len(sealed),
            "built in this run": sum(built),
            "CAR bytes": show.size(all_bytes),
            "piece bytes": show.size(sum(row.piece_size for row in sealed)),
            "staging folder": dg.MetadataValue.path(projects.get(catalog.open(), name).staging_dir),
            "fill": charts.fill_chart(containers.rows(catalog.open(), name)),
            "build rate": charts.rate_chart(last_spell(sealed)),
            "table": show.car_table(sealed),
        },
    )


def _record_missing_events(
    context: dg.OpExecutionContext, name: str, numbers: list[int], catalog: CatalogResource
) -> None:
    """A worker may die between a receipt and its event: those CARs get their event now."""
    known = context.instance.get_materialized_partitions(dg.AssetKey("car"))
    for number in numbers:
        if car_key(name, number) not in known:
            for row in cars.rows(catalog.open(), name, number):
                context.log_event(
                    dg.AssetMaterialization(
                        "car", partition=car_key(name, number), metadata=(show.car_metadata(row))
                    )
                )


@dg.graph_asset(
    partitions_def=project_partitions,
    ins={"container_plan": dg.AssetIn(dagster_type=dg.Nothing)},
    group_name=GROUP,
    owners=OWNERS,
    kinds={"car", "file"},
    description="All CARs of a project, in its staging folder: the blitz. What has a receipt isn't built again, so "
    "it may be stopped and run again at any time. While it runs, its progress is here and on the run's page; each "
    "CAR with its CIDs is a partition of asset `car`.",
)
def built_cars(container_plan: None) -> None:
    """Build what the plan holds and no receipt covers."""
    return seal(pending(start=container_plan).map(build_batch).collect())  # type: ignore[no-any-return]
