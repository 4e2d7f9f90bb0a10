"""A project's status in the words its users know, from the catalog and Dagster's runs; nothing is stored."""

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog.progress import STALE
from ptolemy_core.sizes import readable
from ptolemy_core.stages.status import Standing, standing

HOST_TAG, PID_TAG = "ptolemy/host", "ptolemy/pid"
"""Tags of runs that a command line waits for: where its process is."""

_DONE = {
    "defined": "defined",
    "scan": "scan completed",
    "containerization": "containerization complete",
    "blitz": "blitz complete",
}
_STAGE_OF_JOB = {
    "scan": "scan",
    "containerize": "containerization",
    "blitz": "blitz",
    "verify": "verification",
    "root": "data set root",
}
_STAGE_OF_STEP = {
    "scan_result": "scan",
    "container_plan": "containerization",
    "built_cars": "blitz",
    "car": "blitz",
    "dataset_root": "data set root",
    "manifest": "manifest",
    "built_cars_cars_verify": "verification",
    "container_plan_plan_covers_scan": "containerization",
}
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
_FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a project: `text` in a person's words, what stands, and the run that says it, if one does."""

    project: str
    text: str
    standing: Standing
    run_id: str | None


def project_status(catalog: Catalog, instance: dg.DagsterInstance | None, name: str) -> Status:
    """The status of a project.

    Args:
        catalog: that holds the project.
        instance: Dagster's, which knows its runs; None where the home can only be read: nothing runs there.
        name: the project's.

    Raises:
        UnknownProjectError: no such project.
    """
    projects.get(catalog, name)
    stands = standing(catalog, name)
    newest: Sequence[dg.RunRecord] = ()
    if instance is not None:
        newest = instance.get_run_records(
            dg.RunsFilter(tags={"dagster/partition": name}), limit=1, order_by="update_timestamp"
        )
    if instance is not None and newest:
        run = newest[0].dagster_run
        if run.status in _UNFINISHED and is_alive(newest[0], stands):
            stage = _stage(instance, run)
            waiting = run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
            return Status(name, f"{'waiting for' if waiting else 'executing'} {stage}", stands, run.run_id)
        if run.status in _FAILED or run.status in _UNFINISHED:
            word = "canceled" if run.status == dg.DagsterRunStatus.CANCELED else "failed"
            return Status(name, f"{_stage(instance, run)} {word}", stands, run.run_id)
    text = _DONE[stands.done]
    if stands.waiting is not None and stands.done == "containerization":
        text = (
            f"waiting for {readable(stands.waiting.bytes)} in staging"
            if stands.waiting.bytes
            else "room to go on"
        )
    return Status(name, text, stands, newest[0].dagster_run.run_id if newest else None)


def under_way(catalog: Catalog, instance: dg.DagsterInstance, name: str) -> bool:
    """Whether a run of a project waits or executes."""
    unfinished = dg.RunsFilter(tags={"dagster/partition": name}, statuses=_UNFINISHED)
    records = instance.get_run_records(unfinished, limit=20)
    if not records:
        return False
    stands = standing(catalog, name)
    return any(is_alive(record, stands) for record in records)


def live_run(catalog: Catalog, instance: dg.DagsterInstance, name: str) -> dg.DagsterRun | None:
    """The run of a project that is under way or waits for its turn; None if there is none."""
    unfinished = instance.get_run_records(
        dg.RunsFilter(tags={"dagster/partition": name}, statuses=_UNFINISHED), order_by="update_timestamp"
    )
    if not unfinished:
        return None
    stands = standing(catalog, name)
    return next((record.dagster_run for record in unfinished if is_alive(record, stands)), None)


def is_alive(record: dg.RunRecord, stands: Standing) -> bool:
    """Whether an unfinished run really is under way: a killed one leaves its status behind."""
    tags = record.dagster_run.tags
    pid = tags.get(PID_TAG, "")  # anyone who launches a run may write anything there
    if tags.get(HOST_TAG) == socket.gethostname() and re.fullmatch("[0-9]{1,9}", pid, re.ASCII):
        return _exists(int(pid))
    if record.dagster_run.status == dg.DagsterRunStatus.QUEUED:
        return True
    return bool(stands.tasks) or time.time() - record.update_timestamp.timestamp() < STALE


def _exists(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _stage(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The stage that a run is in, or was in at its end."""
    if run.job_name in _STAGE_OF_JOB:
        return _STAGE_OF_JOB[run.job_name]
    steps = sorted(instance.get_run_step_stats(run.run_id), key=lambda step: step.start_time or 0)
    for step in reversed(steps):
        if step.start_time:
            return _STAGE_OF_STEP.get(step.step_key.split(".")[0], "run")
    return "run"
