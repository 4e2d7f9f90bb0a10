"""Runs: how one is doing, canceling it, and launching it again."""

from typing import Annotated, Literal

import anyio.to_thread
import dagster as dg
from fastapi import APIRouter, Depends, Path, Request
from pydantic import Field

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.facts.fields import Facts, Moment, moment, moment_or_none
from ptolemy_core.status.state import project_state
from ptolemy_dagster.failures import why_ended
from ptolemy_dagster.http.context import Context, in_thread, opened
from ptolemy_dagster.http.launching import Launched, launch
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.http.waiting import Wait, once
from ptolemy_dagster.liveness import is_alive
from ptolemy_dagster.run_facts import MATERIALIZE, PARTITION_TAG, stage_name
from ptolemy_dagster.status import LOST

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


class Run(Facts):
    """A run of a stage."""

    run_id: str
    run_url: str = Field(description="Its page in the web UI.")
    project: str
    stage: str = Field(
        description="Its job: scan, containerize, blitz and so on; materialize: assets were chosen in the web UI."
    )
    status: Literal["waiting", "running", "succeeded", "failed", "canceling", "canceled", "lost"] = Field(
        description="lost: its process ended without saying why; retry it."
    )
    reason: str | None = Field(description="Why it failed or was lost; null: it didn't, or wasn't.")
    code: str | None = Field(description="Code of the error that it failed with, see docs/errors.md.")
    created_at: Moment = Field(description="When it was launched.")
    started_at: Moment | None = Field(description="When it left the queue.")
    ended_at: Moment | None = Field(description="When it ended.")


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


_ENDED = {
    dg.DagsterRunStatus.SUCCESS: "succeeded",
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "was canceled",
}


@router.get("/runs/{run_id}", responses=documented(404, 422), summary="A run")
async def get_run(
    run_id: RunId, request: Request, context: Annotated[Context, Depends(opened)], wait: Wait = 0
) -> Run:
    """How a run is doing, or how it ended."""
    return await once(
        request,
        wait,
        lambda: anyio.to_thread.run_sync(lambda: _described(context, _record(context, run_id))),
        lambda run: run.status not in ("waiting", "running", "canceling"),
    )


@router.post(
    "/runs/{run_id}/cancel", status_code=202, responses=documented(404, 409, 422, 503), summary="Cancel a run"
)
async def cancel(run_id: RunId, context: Annotated[Context, Depends(opened)]) -> Run:
    """Cancel a run. CARs that are built stay; the next blitz builds the rest."""
    return await in_thread(context, _cancel, context, run_id)


def _cancel(context: Context, run_id: str) -> Run:
    run = _record(context, run_id).dagster_run
    if run.is_finished:
        raise Problem(409, "finished", f"run {run_id} ended already: it {_ENDED[run.status]}", run_id=run_id)
    context.dagster.cancel(run_id)
    return _described(context, _record(context, run_id))


@router.post(
    "/runs/{run_id}/retry", status_code=202, responses=documented(404, 409, 422, 503), summary="Run it again"
)
async def retry(run_id: RunId, context: Annotated[Context, Depends(opened)]) -> Launched:
    """Launch the same stage again after a run failed, was canceled or was lost; it does what is left to do."""
    return await in_thread(context, _retry, context, run_id)


def _retry(context: Context, run_id: str) -> Launched:
    described = _described(context, _record(context, run_id))
    if described.status not in ("failed", "canceled", "lost"):
        raise Problem(
            409,
            "not-failed",
            f"the status of run {run_id} is {described.status}: only one that failed, was canceled "
            "or was lost can be retried",
            run_id=run_id,
        )
    if described.stage == MATERIALIZE:
        raise Problem(
            409,
            "not-retried",
            f"the assets of run {run_id} were chosen in the web UI: re-execute it there, or launch a stage",
            run_id=run_id,
            run_url=described.run_url,
        )
    config = _record(context, run_id).dagster_run.run_config
    return launch(context, described.stage, described.project, config, **{RETRY_TAG: run_id})


def _record(context: Context, run_id: str) -> dg.RunRecord:
    found = context.dagster.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]), limit=1)
    if not found or PARTITION_TAG not in found[0].dagster_run.tags:
        raise Problem(
            404,
            "unknown-run",
            f"no run {run_id} of any project: GET /v0/projects/NAME names the last one of a project",
        )
    return found[0]


def _described(context: Context, record: dg.RunRecord) -> Run:
    run = record.dagster_run
    project = run.tags[PARTITION_TAG].partition("|")[0]  # the key of a CAR is delta|000003
    is_lost = _is_lost(context.catalog, record, project)
    why = why_ended(context.dagster.instance, run)
    return Run(
        run_id=run.run_id,
        run_url=context.dagster.run_url(run.run_id),
        project=project,
        stage=stage_name(run.job_name),
        status="lost" if is_lost else _WORDS[run.status],
        reason=LOST if is_lost else why.text,
        code=why.code,
        created_at=moment(record.create_timestamp.timestamp()),
        started_at=moment_or_none(record.start_time),
        ended_at=moment_or_none(record.end_time),
    )


def _is_lost(catalog: Catalog, record: dg.RunRecord, project: str) -> bool:
    if record.dagster_run.is_finished or project not in projects.names(catalog):
        return False
    return not is_alive(catalog, record, project_state(catalog, project))
