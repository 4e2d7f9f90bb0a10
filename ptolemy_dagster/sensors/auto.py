"""The sensor `auto`: what a scan of a project with the setting auto finds is containerized and built.

It asks the catalog, so it doesn't matter who scanned, and a run that was lost is made up for after the next scan.
"""

import json

import dagster as dg

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog.history import last_scan, scan_started
from ptolemy_core.errors import StageOrderError
from ptolemy_core.status.state import project_state
from ptolemy_dagster import jobs
from ptolemy_dagster.partitions import missing
from ptolemy_dagster.resources import SENSOR_SECONDS, CatalogResource
from ptolemy_dagster.status import under_way


@dg.sensor(
    name="auto",
    job=jobs.carry_on,
    minimum_interval_seconds=SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Containerizes and blitzes what a scan found, for projects whose setting auto is on. After a scan "
    "that found nothing to do it launches nothing.",
)
def auto(context: dg.SensorEvaluationContext, catalog: CatalogResource) -> dg.SensorResult:
    """See which scans have something to carry on."""
    with catalog.opened() as opened:
        return tick(opened, context.instance, context.cursor)


def tick(catalog: Catalog, instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult:
    """One look at all automatic projects; `cursor` holds the last scan of each that is dealt with, and its start."""
    names = projects.names(catalog)
    handled: dict[str, object] = {
        name: scan for name, scan in json.loads(cursor or "{}").items() if name in names
    }
    there = projects.get_all(catalog, names)
    new = missing(instance, names)
    requests: list[dg.RunRequest] = []
    said: list[str] = []
    for name in names:
        if new is not None and name in new.partition_keys:
            continue  # next time
        if name not in there or not there[name].auto:
            handled.pop(name, None)  # switched on again, it continues with the remaining work
            continue
        try:
            scan = last_scan(catalog, name)
        except StageOrderError:
            continue
        started = scan_started(catalog, scan)
        if handled.get(name) == [scan, started]:
            continue
        if under_way(catalog, instance, name):
            said.append(f"{name}: a run is active")
            continue
        state = project_state(catalog, name)
        handled[name] = [scan, started]
        if not state.unplanned and state.built == state.containers:
            said.append(f"{name}: scan {scan} left nothing to do")
            continue
        tags = {"ptolemy/because": f"scan {scan}"}
        requests.append(
            dg.RunRequest(run_key=f"auto|{name}|{scan}|{started:.3f}", partition_key=name, tags=tags)
        )
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps(handled),
        dynamic_partitions_requests=[new] if new else None,
        skip_reason=None if requests else "; ".join(said[:20]) or "no new scan of an automatic project",
    )
