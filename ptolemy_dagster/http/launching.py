"""Launching a stage: that it isn't too early and doesn't run yet, then Dagster's queue."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import BusyError, EmptyProjectError, StageOrderError
from ptolemy_core.stages import order
from ptolemy_core.stages.order import Stage
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.partitions import register
from ptolemy_dagster.roots import require_inside
from ptolemy_dagster.run_facts import stage_name
from ptolemy_dagster.status import live_run

_LOCK_SECONDS = 10.0


class Launched(BaseModel):
    """A run that was put into the queue."""

    project: str
    stage: str
    run_id: str
    run_url: str = Field(description="Its page in Dagster's web UI.")
    status_url: str = Field(description="Where this API says how far the project is.")


def launch(
    context: Context, job: str, name: str, config: Mapping[str, Any] | None = None, **tags: str
) -> Launched:
    """Launch a job on a project with this run configuration, unless it is too early or one runs already.

    Raises:
        UnknownProjectError: no such project.
        OutsideRootsError: its folders aren't below the roots.
        Problem: 409, too early or running; 503, Dagster is away.
    """
    catalog = context.catalog
    require_inside(projects.get(catalog, name), context.settings.roots)
    try:
        # two requests at once must not both find that nothing runs
        with catalog.lock(f"launch {name}", wait=_LOCK_SECONDS):
            _require_idle(context, job, name)  # first: a stage that runs may be the one that is missing
            _require_earlier_stage(catalog, job, name)
            register(context.dagster.instance, name)
            run_id = context.dagster.launch(job, name, config, **tags)
    except BusyError:
        raise Problem(409, "busy", f"another run of project {name!r} is being launched: try again") from None
    return Launched(
        project=name,
        stage=job,
        run_id=run_id,
        run_url=context.dagster.run_url(run_id),
        status_url=f"/v0/projects/{name}",
    )


def _require_earlier_stage(catalog: Catalog, job: str, name: str) -> None:
    if job not in tuple(Stage):
        return
    try:
        order.require(catalog, name, Stage(job))
    except EmptyProjectError as error:
        raise Problem(409, "empty", str(error)) from None
    except StageOrderError as error:
        detail = f"project {name!r} {error.why}: POST /v0/{error.first}/{name} first, then {job} it"
        raise Problem(409, "stage-order", detail, first=error.first) from None


def _require_idle(context: Context, job: str, name: str) -> None:
    run = live_run(context.catalog, context.dagster.instance, name)
    if run is None:
        return
    waits = run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
    state = "is queued" if waits else "is running"
    needed = job in tuple(Stage) and run.job_name in Stage(job).chain
    raise Problem(
        409,
        "running",
        f"{stage_name(run.job_name)} of project {name!r} {state}{f', and {job} needs it' if needed else ''}: "
        f"wait for it (GET /v0/projects/{name}?wait=60), or cancel it with POST /v0/runs/{run.run_id}/cancel",
        run_id=run.run_id,
        run_url=context.dagster.run_url(run.run_id),
    )
