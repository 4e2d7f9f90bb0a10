"""The scan result of a project."""

import warnings

import dagster as dg
from pydantic import Field

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.skipped import NotStored
from ptolemy_core.garbage import fewer_collections
from ptolemy_core.stages.order import nothing_to_store
from ptolemy_core.stages.scan import scan
from ptolemy_dagster import data_versions, lost_cars, show
from ptolemy_dagster.assets import GROUP, OWNERS
from ptolemy_dagster.failures import AGAIN, as_failure
from ptolemy_dagster.live import Live
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.weight import ENTRIES

# partitioned checks are a preview in Dagster; pyproject.toml holds Dagster to versions where they were tested
warnings.filterwarnings("ignore", message="Specifying a partitions_def on an AssetCheckSpec")

_STORED = "nothing_left_out"


class ScanOptions(dg.Config):
    """What a scan may find."""

    accept_loss: bool = Field(
        default=False,
        description="Scan even if the target folder is empty, on another file system than at the last scan, or has "
        "lost more than max_loss percent of its entries.",
    )


@dg.asset(
    partitions_def=project_partitions,
    check_specs=[
        dg.AssetCheckSpec(
            _STORED,
            asset="scan_result",
            partitions_def=project_partitions,
            description="Every entry of the target folder can be stored: none is unreadable, a pipe, a socket or a "
            "device. A warning.",
        )
    ],
    retry_policy=AGAIN,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"file", "sql"},
    op_tags=ENTRIES,
    config_schema=plain(ScanOptions),
    description="What the target folder of a project holds: files, links and empty folders, with sizes and times, "
    "merged into the catalog. Scan again at any time: only what is new, changed or gone is written.",
)
def scan_result(context: dg.AssetExecutionContext, catalog: CatalogResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Scan the project's target folder."""
    config = ScanOptions(**context.op_execution_context.op_config)
    with as_failure():
        opened = catalog.open_for(context.partition_key)
        live = Live(context, opened, "scan")
        with fewer_collections():  # this process does nothing else
            result = scan(
                opened,
                context.partition_key,
                accept_loss=config.accept_loss,
                progress=live.scanning,
            )
    if not (result.added or result.changed or result.gone):
        context.log.info("nothing changed since the last scan")
    for said in lost_cars.dead(result.dead):
        context.log.warning(said)
    if result.is_empty:
        settings = projects.get(opened, context.partition_key)
        context.log.warning(nothing_to_store(opened, settings.name, settings.target_dir))
    return dg.MaterializeResult(
        data_version=data_versions.of_scan(opened, context.partition_key),
        check_results=[_check(result.not_stored, result.left_out_sample)],
        metadata={
            "files": result.files,
            "data": show.size(result.data_bytes),
            "largest file": show.size(result.largest),
            "empty files": result.empty_files,
            "symbolic links": result.links,
            "empty folders": result.empty_folders,
            "left out": result.left_out,
            "entries left out": show.table(("path", "reason"), result.left_out_sample),
            "skipped before, to be tried again": result.retried,
            "new, changed, gone": f"{result.added:,}, {result.changed:,}, {result.gone:,}",
            "gone, deleted after delivery": result.deleted,
            "generated CARs that are dead": show.table(
                ("CAR", "what changed"), ((row.number, row.dead_reason) for row in result.dead)
            ),
            "seconds": round(result.seconds, 3),
        },
    )


def _check(found: NotStored, sample: list[tuple[str, str]]) -> dg.AssetCheckResult:
    left = found.unreadable + found.special
    return dg.AssetCheckResult(
        check_name=_STORED,
        passed=not left,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(found) or None,
        metadata={
            "unreadable": found.unreadable,
            "pipes, sockets, devices": found.special,
            "Ptolemy's own folders": found.own,
            "entries": show.table(("path", "reason"), sample),
        },
    )
