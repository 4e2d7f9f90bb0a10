"""Serial projects continue by themselves: a blitz is launched once finished CARs have left the staging folder."""

import dagster as dg

from ptolemy_core.catalog import waiting
from ptolemy_core.errors import StagingError
from ptolemy_core.sizes import readable
from ptolemy_core.status import free_space
from ptolemy_dagster import jobs
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.resources import CatalogResource


@dg.sensor(
    job=jobs.blitz,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches the next blitz of a serial project that waits, when its next CAR fits.",
)
def staging_space(context: dg.SensorEvaluationContext, catalog: CatalogResource) -> dg.SensorResult:
    """Look at each project that waits: one run for each time that it began to wait."""
    opened = catalog.open()
    ready: dict[str, str] = {}
    said: list[str] = []
    for row in waiting.rows(opened):
        try:
            now = free_space.still_waiting(opened, row.project)
        except StagingError as error:
            said.append(f"{row.project}: {error}")
            continue
        if now is None:
            continue
        if now.bytes:
            said.append(f"{row.project} waits for {readable(now.bytes)} ({now.bytes} bytes)")
            continue
        # a run that fails leaves `since` as it is, and so isn't launched again and again
        ready[row.project] = f"{row.project} waiting since {row.since:.6f}"
    known = set(context.instance.get_dynamic_partitions(project_partitions.name or ""))
    unknown = [name for name in ready if name not in known]
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, partition_key=name) for name, key in ready.items()],
        dynamic_partitions_requests=[project_partitions.build_add_request(unknown)] if unknown else None,
        skip_reason=None if ready else dg.SkipReason("; ".join(said) or "no project waits for free space"),
    )
