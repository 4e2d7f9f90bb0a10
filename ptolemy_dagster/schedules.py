"""The schedule `rescan`: all watched projects in full once a day, which finds what the sensor can't see."""

from collections.abc import Iterator

import dagster as dg

from ptolemy_core.catalog import projects
from ptolemy_dagster import jobs
from ptolemy_dagster.partitions import missing, project_partitions
from ptolemy_dagster.resources import CatalogResource


@dg.schedule(
    name="rescan",
    job=jobs.scan,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Scans every watched project in full, at three o'clock (UTC): files that were written in place "
    "don't change their folder, so the sensor watch doesn't see them.",
)
def rescan(context: dg.ScheduleEvaluationContext, catalog: CatalogResource) -> Iterator[dg.RunRequest]:
    """Ask for a scan of each watched project."""
    with catalog.opened() as opened:
        names = projects.names(opened)
        found = [projects.get(opened, name) for name in names]
        watched = [
            one.name for one in found if one.watch and not one.is_remote
        ]  # those are scanned at intervals
    new = missing(context.instance, names)
    if new:
        context.instance.add_dynamic_partitions(project_partitions.name or "", list(new.partition_keys))
    when = context.scheduled_execution_time.strftime("%Y-%m-%d %H:%M")
    for name in watched:
        tags = {"ptolemy/because": "daily rescan"}
        yield dg.RunRequest(run_key=f"rescan|{name}|{when}", partition_key=name, tags=tags)
