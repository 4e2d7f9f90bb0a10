"""The sensor `watch`: a bounded look at each watched target folder, and a scan when one is due.

It also registers the partitions of projects that are in the catalog and not in Dagster.
"""

import json
import time
from dataclasses import asdict

import dagster as dg

from ptolemy_core.catalog import Catalog, projects, scans
from ptolemy_core.errors import PtolemyError, UnavailableError
from ptolemy_core.stages.watch import State, look
from ptolemy_dagster import jobs
from ptolemy_dagster.partitions import missing
from ptolemy_dagster.resources import SENSOR_SECONDS, CatalogResource
from ptolemy_dagster.status import under_way

_SECONDS = 30.0
"""A tick ends after so long; the projects that are left come first in the next one. Dagster allows it 60."""

_SAID = 20


@dg.sensor(
    name="watch",
    job=jobs.scan,
    minimum_interval_seconds=SENSOR_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Checks the target folders of projects whose setting watch is on, and scans those that changed "
    "and are quiet again. Registers the partitions of new projects.",
)
def watch(context: dg.SensorEvaluationContext, catalog: CatalogResource) -> dg.SensorResult:
    """Look at the watched projects."""
    with catalog.opened() as opened:
        return tick(opened, context.instance, context.cursor, time.time())


def tick(catalog: Catalog, instance: dg.DagsterInstance, cursor: str | None, now: float) -> dg.SensorResult:
    """One look at all watched projects.

    Args:
        catalog: that holds them.
        instance: that runs them.
        cursor: of the tick before.
        now: seconds since 1970.
    """
    before = json.loads(cursor or "{}")
    states = {name: _state(values) for name, values in before.get("projects", {}).items()}
    names = projects.names(catalog)
    new = missing(instance, names)
    ready = [name for name in names if new is None or name not in new.partition_keys]  # others: next time
    watched = [project for project in projects.get_all(catalog, ready).values() if project.watch]
    first = before.get("next", "")
    watched.sort(key=lambda project: (project.name < first, project.name))
    deadline = time.monotonic() + _SECONDS
    requests: list[dg.RunRequest] = []
    said: list[str] = []
    following = ""
    for project in watched:
        if time.monotonic() > deadline:
            following = project.name
            break
        name = project.name
        if under_way(catalog, instance, name):
            said.append(f"{name}: a run is active")
            continue
        try:
            found = look(catalog, project, states.get(name, State()), now)
        except UnavailableError:
            raise
        except PtolemyError as error:  # one project keeps no other from being looked at
            said.append(f"{name}: {error}")
            continue
        states[name] = found.state
        said.append(f"{name}: {found.said}")
        if found.due:
            newest = scans.last(catalog, name)
            # a project that was deleted and created again has the same numbers, and Dagster takes each key once
            since = newest.started if newest else now
            key = f"watch|{name}|{found.state.base}|{found.state.asked}|{since:.3f}"
            tags = {"ptolemy/because": found.said[:200]}
            requests.append(dg.RunRequest(run_key=key, partition_key=name, tags=tags))
            states[name] = found.asking(now)
    kept = {project.name: asdict(states[project.name]) for project in watched if project.name in states}
    return dg.SensorResult(
        run_requests=requests,
        cursor=json.dumps({"next": following, "projects": kept}),
        dynamic_partitions_requests=[new] if new else None,
        skip_reason=None if requests else "; ".join(said[:_SAID]) or "no project is watched",
    )


def _state(values: dict[str, object]) -> State:
    """A state out of a cursor; one of another version is as good as none."""
    try:
        state = State(**values)  # type: ignore[arg-type]
    except TypeError:
        return State()
    return State(**asdict(state) | {"changed": tuple(state.changed)})
