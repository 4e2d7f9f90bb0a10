"""Runs: what one does, canceling it, and running it again."""

from typing import Annotated, Literal

import dagster as dg
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.status.state import project_state
from ptolemy_dagster.http.context import Context, in_thread, opened
from ptolemy_dagster.http.dagster_api import PROJECT_TAG
from ptolemy_dagster.http.launching import JOBS, Launched, launch
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.liveness import is_alive

router = APIRouter(tags=["runs"])
RETRY_TAG = "ptolemy/retry_of"

RunId = Annotated[
    str,
    Path(
        description="As a launch answered it.",
        pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
        examples=["c900d207-01ad-4558-9555-ccd194310973"],
    ),
]


class Run(BaseModel):
    """A run of a stage."""

    run_id: str
    run_url: str = Field(description="Its page in the web UI.")
    project: str
    stage: str = Field(description="scan, containerize, blitz, verify or onboard.")
    status: Literal["waiting", "running", "succeeded", "failed", "canceling", "canceled", "lost"] = Field(
        description="lost: its process is gone without a word; retry it."
    )
    created_at: float = Field(description="Seconds since 1970.")
    started_at: float | None
    ended_at: float | None


_WORDS: dict[
    dg.DagsterRunStatus, Literal["waiting", "running", "succeeded", "failed", "canceling", "canceled"]
] = {
    dg.DagsterRunStatus.QUEUED: "waiting",
    dg.DagsterRunStatus.NOT_STARTED: "waiting",
    dg.DagsterRunStatus.MANAGED: "waiting",
    dg.DagsterRunStatus.STARTING: "running",
    dg.DagsterRunStatus.STARTED: "running",
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELING: "canceling",
    dg.DagsterRunStatus.CANCELED: "canceled",
}


@router.get("/runs/{run_id}", responses=documented(404, 422), summary="A run")
def get_run(run_id: RunId, context: Annotated[Context, Depends(opened)]) -> Run:
    """What became of a run."""
    return _described(context, _record(context, run_id))


@router.post(
    "/runs/{run_id}/cancel", status_code=202, responses=documented(404, 409, 422, 503), summary="Cancel a run"
)
async def cancel(run_id: RunId, context: Annotated[Context, Depends(opened)]) -> Run:
    """End a run. CARs that it has built stay; the next blitz goes on from there."""
    return await in_thread(context, _cancel, context, run_id)


def _cancel(context: Context, run_id: str) -> Run:
    run = _record(context, run_id).dagster_run
    if run.is_finished:
        raise Problem(409, "finished", f"run {run_id} ended already, it {_WORDS[run.status]}", run_id=run_id)
    context.dagster.cancel(run_id)
    return _described(context, _record(context, run_id))


@router.post(
    "/runs/{run_id}/retry", status_code=202, responses=documented(404, 409, 422, 503), summary="Run it again"
)
async def retry(run_id: RunId, context: Annotated[Context, Depends(opened)]) -> Launched:
    """Launch the same stage again after a run failed, was canceled or lost; it does what is left to do."""
    return await in_thread(context, _retry, context, run_id)


def _retry(context: Context, run_id: str) -> Launched:
    described = get_run(run_id, context)
    if described.status not in ("failed", "canceled", "lost"):
        raise Problem(
            409,
            "not-failed",
            f"run {run_id} is {described.status}: only one that failed, was canceled or lost is run again",
            run_id=run_id,
        )
    config = _record(context, run_id).dagster_run.run_config
    return launch(context, described.stage, described.project, config, **{RETRY_TAG: run_id})


def _record(context: Context, run_id: str) -> dg.RunRecord:
    found = context.dagster.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]), limit=1)
    if not found or found[0].dagster_run.job_name not in JOBS:
        raise Problem(404, "unknown-run", f"no run {run_id}: look at GET /v0/projects/NAME for the last one")
    return found[0]


def _described(context: Context, record: dg.RunRecord) -> Run:
    run = record.dagster_run
    project = run.tags.get(PROJECT_TAG, "")
    return Run(
        run_id=run.run_id,
        run_url=context.dagster.run_url(run.run_id),
        project=project,
        stage=run.job_name,
        status="lost" if _is_lost(context.catalog, record, project) else _WORDS[run.status],
        created_at=record.create_timestamp.timestamp(),
        started_at=record.start_time,
        ended_at=record.end_time,
    )


def _is_lost(catalog: Catalog, record: dg.RunRecord, project: str) -> bool:
    if record.dagster_run.is_finished or project not in projects.names(catalog):
        return False
    return not is_alive(catalog, record, project_state(catalog, project))
