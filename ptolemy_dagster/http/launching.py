"""Launching a stage: what must stand before it, that it doesn't run yet, then Dagster's queue."""

import dagster as dg
from pydantic import BaseModel, Field

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import BusyError
from ptolemy_core.stages.status import Standing, standing
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.partitions import register
from ptolemy_dagster.roots import require_inside
from ptolemy_dagster.status import live_run

JOBS = ("scan", "containerize", "blitz", "verify", "onboard")
"""Jobs that the API launches, by the names that it has for them too."""

_LOCK_SECONDS = 10.0


class Launched(BaseModel):
    """A run that was put into the queue."""

    project: str
    stage: str
    run_id: str
    run_url: str = Field(description="Its page in Dagster's web UI.")
    status_url: str = Field(description="Where this API says how far the project is.")


def launch(context: Context, job: str, name: str, **tags: str) -> Launched:
    """Launch a job on a project, unless it is too early or one runs already.

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
            stands = standing(catalog, name)
            _require_earlier_stage(catalog, job, name, stands)
            _require_idle(context, name)
            register(context.dagster.instance, name)
            run_id = context.dagster.launch(job, name, **tags)
    except BusyError:
        raise Problem(409, "busy", f"another launch of project {name!r} is under way: try again") from None
    return Launched(
        project=name,
        stage=job,
        run_id=run_id,
        run_url=context.dagster.run_url(run_id),
        status_url=f"/v0/projects/{name}",
    )


def _require_earlier_stage(catalog: Catalog, job: str, name: str, stands: Standing) -> None:
    if job in ("scan", "onboard"):
        return
    if not stands.scanned:
        raise _too_early(job, name, "isn't scanned yet", "scan")
    if job == "containerize":
        return
    if not stands.containers:
        if not stands.unplanned:
            raise Problem(409, "empty", f"project {name!r} holds no files, so there is nothing to {job}")
        raise _too_early(job, name, "has no containers yet", "containerize")
    if job == "verify" and not stands.built:
        raise _too_early(job, name, "has no CAR built yet", "blitz")


def _too_early(job: str, name: str, why: str, first: str) -> Problem:
    detail = f"project {name!r} {why}: POST /v0/{first}/{name} first, then {job} it"
    return Problem(409, "stage-order", detail, first=first)


def _require_idle(context: Context, name: str) -> None:
    run = live_run(context.catalog, context.dagster.instance, name)
    if run is None:
        return
    waits = run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
    state = "waits in the queue" if waits else "is under way"
    raise Problem(
        409,
        "running",
        f"{run.job_name} of project {name!r} {state}: wait for it, or cancel it with "
        f"POST /v0/runs/{run.run_id}/cancel",
        run_id=run.run_id,
        run_url=context.dagster.run_url(run.run_id),
    )
