"""The scan result of a project."""

import dagster as dg

from ptolemy_core.garbage import fewer_collections
from ptolemy_core.stages.scan import scan
from ptolemy_dagster import show
from ptolemy_dagster.assets import GROUP, OWNERS
from ptolemy_dagster.failures import AGAIN, as_failure
from ptolemy_dagster.live import Live
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.weight import ENTRIES


@dg.asset(
    partitions_def=project_partitions,
    retry_policy=AGAIN,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"file", "sql"},
    op_tags=ENTRIES,
    description="What the target folder of a project holds: files, links and empty folders, with sizes and times, "
    "merged into the catalog. Scan again at any time: only what is new, changed or gone is written.",
)
def scan_result(context: dg.AssetExecutionContext, catalog: CatalogResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Scan the project's target folder."""
    with as_failure():
        opened = catalog.open_for(context.partition_key)
        live = Live(context, opened, "scan")
        with fewer_collections():  # this process does nothing else
            result = scan(
                opened,
                context.partition_key,
                progress=live.scanning,
            )
    if not (result.added or result.changed or result.gone):
        context.log.info("nothing changed since the last scan")
    return dg.MaterializeResult(
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
            "seconds": round(result.seconds, 3),
        }
    )
