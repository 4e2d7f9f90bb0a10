"""The container plan of a project."""

from collections import Counter

import dagster as dg

from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.stages.containerize import containerize
from ptolemy_dagster import charts, data_versions, show
from ptolemy_dagster.assets import GROUP, OWNERS
from ptolemy_dagster.assets.scan import scan_result
from ptolemy_dagster.failures import AGAIN, as_failure
from ptolemy_dagster.partitions import project_partitions, register_cars
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.weight import ENTRIES


@dg.asset(
    partitions_def=project_partitions,
    retry_policy=AGAIN,
    deps=[scan_result],
    group_name=GROUP,
    owners=OWNERS,
    kinds={"sql", "table"},
    op_tags=ENTRIES,
    description="Which file, or shard of a file, goes into which CAR: containers of roughly equal size, as few as "
    "fit. Each CAR's size is exact before any data is read. What is in a container already stays there.",
)
def container_plan(context: dg.AssetExecutionContext, catalog: CatalogResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Plan containers for what the scan found and no container holds."""
    name = context.partition_key
    with as_failure():
        result = containerize(catalog.open(), name)
    if result.warning:
        context.log.warning(result.warning)
    if result.empty:
        context.log.warning(result.empty)
    elif not result.new:
        context.log.info("nothing to plan: every file is in a container")
    register_cars(context.instance, name, [row.number for row in result.containers])
    rows = result.containers
    piece_bytes = sum(row.piece_size for row in rows)
    padding = sum(row.padding for row in rows)
    return dg.MaterializeResult(
        data_version=data_versions.of_plan(rows),
        metadata={
            "containers": len(rows),
            "new": result.new,
            "data": show.size(sum(row.data_bytes for row in rows)),
            "CARs": show.size(sum(row.car_size for row in rows)),
            "pieces": show.size(piece_bytes),
            "storage": _storage(rows),
            "padding": f"{show.size(padding)}, {padding / max(1, piece_bytes):.1%} of the pieces",
            "advice": result.warning or "car_size pads well",
            "fill": charts.fill_chart(rows),
            "plan": show.plan_table(name, rows),
            "CARs of this plan": dg.MetadataValue.md(show.link(name, "built_cars", name)),
        },
    )


def _storage(rows: list[ContainerRow]) -> str:
    """How the CARs are stored, or will be."""
    kinds = Counter(row.car_storage for row in rows)
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items())) or "none"
