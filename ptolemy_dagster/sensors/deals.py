"""The sensor `deals`: a round for each project with deals that are due, or that lacks some and may make them.

It asks the catalog alone; providers are asked by the run.
"""

import json
import time

import dagster as dg

from ptolemy_core.catalog import Catalog, containers, deal_counts, projects
from ptolemy_core.sizes import counted
from ptolemy_dagster import jobs
from ptolemy_dagster.partitions import missing
from ptolemy_dagster.resources import SENSOR_SECONDS, CatalogResource
from ptolemy_dagster.run_config import deal_config
from ptolemy_dagster.run_facts import PARTITION_TAG
from ptolemy_dagster.status import under_way

ROUND = 120.0
"""Seconds between two rounds of a project at least: what is due meanwhile is asked for together."""

PLAN = 900.0
"""Seconds between two attempts to make what is missing, where nothing is due."""

LONGEST = 3600.0
"""Seconds between two rounds at most, where each failed."""

_FAILURES = 5
"""Failed runs in a row that are looked at: with each, the time to the next one doubles."""


@dg.sensor(
    name="deals",
    job=jobs.deal,
    minimum_interval_seconds=SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Follows deals: asks providers for those that are due, and makes missing ones for projects whose "
    "setting deal_auto is on.",
)
def deals_due(context: dg.SensorEvaluationContext, catalog: CatalogResource) -> dg.SensorResult:
    """See which projects have something to do."""
    with catalog.opened() as opened:
        return tick(opened, context.instance, context.cursor, time.time())


def tick(catalog: Catalog, instance: dg.DagsterInstance, cursor: str | None, now: float) -> dg.SensorResult:
    """One look at all projects; `cursor` holds when each had its last round."""
    last: dict[str, float] = json.loads(cursor or "{}")
    names = projects.names(catalog)
    new = missing(instance, names)
    due = set(deal_counts.due_projects(catalog, now))
    requests: list[dg.RunRequest] = []
    said: list[str] = []
    for one in projects.rows(catalog):
        name = one.name
        if new is not None and name in new.partition_keys:
            continue  # next time
        because = "deals are due" if name in due and now - last.get(name, 0.0) >= ROUND else ""
        auto = one.deal_auto and one.replicas is not None
        if not because and auto and now - last.get(name, 0.0) >= PLAN and _lacks(catalog, name):
            because = "deals are missing"
        if not because:
            continue
        base = ROUND if name in due else PLAN
        failures = _failures(instance, name)
        wait = min(base * 2**failures, LONGEST) - (now - last.get(name, 0.0))
        if wait > 0:
            said.append(
                f"{name}: {counted(failures, 'run')} in a row failed; tried again in {wait / 60:.0f} minutes"
            )
            continue
        if under_way(catalog, instance, name):
            said.append(f"{name}: a run is under way")
            continue
        last[name] = now
        requests.append(
            dg.RunRequest(
                run_key=f"deals|{name}|{now:.0f}",
                partition_key=name,
                run_config=deal_config(propose=auto),
                tags={"ptolemy/because": because},
            )
        )
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps({name: at for name, at in last.items() if name in names}),
        dynamic_partitions_requests=[new] if new else None,
        skip_reason=None if requests else "; ".join(said[:20]) or "no deal is due",
    )


def _failures(instance: dg.DagsterInstance, name: str) -> int:
    """How many runs of a project's deals failed since one succeeded, such as for want of a wallet; at most 5."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    chosen = dg.RunsFilter(job_name=jobs.deal.name, tags={PARTITION_TAG: name}, statuses=ended)
    failed = [run.status == dg.DagsterRunStatus.FAILURE for run in instance.get_runs(chosen, limit=_FAILURES)]
    return [*failed, False].index(False)


def _lacks(catalog: Catalog, name: str) -> bool:
    """Whether a project has pieces for which deals are to be made."""
    if not containers.totals(catalog, name).built:
        return False
    from ptolemy_core.stages.replication import replication  # runs need none of it

    state = replication(catalog, name)
    return state.active + state.on_the_way < state.pieces * (state.replicas or 0)
