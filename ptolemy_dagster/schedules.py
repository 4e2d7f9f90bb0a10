"""Schedules: a full scan of watched projects, which finds what the sensor can't see, and a daily look at deals."""

from collections.abc import Iterator

import dagster as dg

from ptolemy_core.catalog import containers, projects
from ptolemy_dagster import jobs
from ptolemy_dagster.partitions import missing, project_partitions
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.run_config import deal_config


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


@dg.schedule(
    name="daily_deals",
    job=jobs.deal,
    cron_schedule="0 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at the deals of every project that wants replicas, at four o'clock (UTC); the check "
    "`replicated` says whether each piece has enough. Where the setting deal_auto is on, makes those that are "
    "missing.",
)
def daily_deals(context: dg.ScheduleEvaluationContext, catalog: CatalogResource) -> Iterator[dg.RunRequest]:
    """Ask for a look at the deals of each project that wants some."""
    with catalog.opened() as opened:
        wanting = [one for one in projects.rows(opened) if one.replicas is not None]
        built = [one for one in wanting if containers.totals(opened, one.name).built]
    known = set(context.instance.get_dynamic_partitions(project_partitions.name or ""))
    when = context.scheduled_execution_time.strftime("%Y-%m-%d %H:%M")
    for one in built:
        if one.name in known:
            yield dg.RunRequest(
                run_key=f"deals|{one.name}|{when}",
                partition_key=one.name,
                run_config=deal_config(propose=one.deal_auto),
                tags={"ptolemy/because": "daily look at deals"},
            )
