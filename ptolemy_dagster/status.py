"""A project's status in the words its users know, from the catalog and Dagster's runs; nothing is stored."""

import os
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog.progress import STALE
from ptolemy_core.sizes import readable
from ptolemy_core.stages.status import Standing, standing
from ptolemy_dagster.run_facts import RunFacts

if TYPE_CHECKING:
    import dagster as dg

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
_UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
_FAILED = ("FAILURE", "CANCELED")


class Runs(Protocol):
    """Where runs are looked up."""

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        ...

    def last_step(self, run_id: str) -> str | None:
        """The step of a run that started last."""
        ...


class InstanceRuns:
    """Runs of a Dagster instance."""

    def __init__(self, instance: "dg.DagsterInstance") -> None:
        """Look up in this instance."""
        self._instance = instance

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        import dagster as dg

        found = self._instance.get_run_records(
            dg.RunsFilter(tags={"dagster/partition": project}), limit=1, order_by="update_timestamp"
        )
        return _facts(found[0]) if found else None

    def last_step(self, run_id: str) -> str | None:
        """The step of a run that started last."""
        steps = [step for step in self._instance.get_run_step_stats(run_id) if step.start_time]
        return max(steps, key=lambda step: step.start_time or 0).step_key if steps else None


def _facts(record: "dg.RunRecord") -> RunFacts:
    run = record.dagster_run
    return RunFacts(run.run_id, run.job_name, run.status.value, record.update_timestamp.timestamp(), run.tags)


@dataclass(frozen=True, slots=True)
class Status:
    """Status of a project: `text` in a person's words, what stands, and the run that says it, if one does."""

    project: str
    text: str
    standing: Standing
    run_id: str | None


def project_status(catalog: Catalog, instance: "dg.DagsterInstance | None", name: str) -> Status:
    """`status_of`, with the runs of a Dagster instance."""
    return status_of(catalog, InstanceRuns(instance) if instance is not None else None, name)


def status_of(catalog: Catalog, runs: Runs | None, name: str) -> Status:
    """The status of a project.

    Args:
        catalog: that holds the project.
        runs: where its runs are looked up; None where the home can only be read: nothing runs there.
        name: the project's.

    Raises:
        UnknownProjectError: no such project.
    """
    projects.get(catalog, name)
    stands = standing(catalog, name)
    run = runs.newest(name) if runs is not None else None
    if runs is not None and run is not None:
        if run.status in _UNFINISHED and _is_alive(run, stands):
            stage = _stage(runs, run)
            waiting = run.status in ("QUEUED", "NOT_STARTED")
            return Status(name, f"{'waiting for' if waiting else 'executing'} {stage}", stands, run.run_id)
        if run.status in _FAILED or run.status in _UNFINISHED:
            word = "canceled" if run.status == "CANCELED" else "failed"
            return Status(name, f"{_stage(runs, run)} {word}", stands, run.run_id)
    text = _DONE[stands.done]
    if stands.waiting is not None and stands.done == "containerization":
        text = (
            f"waiting for {readable(stands.waiting.bytes)} in staging"
            if stands.waiting.bytes
            else "room to go on"
        )
    return Status(name, text, stands, run.run_id if run else None)


def under_way(catalog: Catalog, instance: "dg.DagsterInstance", name: str) -> bool:
    """Whether a run of a project waits or executes."""
    records = instance.get_run_records(_unfinished(name), limit=20)
    if not records:
        return False
    stands = standing(catalog, name)
    return any(is_alive(record, stands) for record in records)


def live_run(catalog: Catalog, instance: "dg.DagsterInstance", name: str) -> "dg.DagsterRun | None":
    """The run of a project that is under way or waits for its turn; None if there is none."""
    records = instance.get_run_records(_unfinished(name), order_by="update_timestamp")
    if not records:
        return None
    stands = standing(catalog, name)
    return next((record.dagster_run for record in records if is_alive(record, stands)), None)


def _unfinished(name: str) -> "dg.RunsFilter":
    import dagster as dg

    statuses = [dg.DagsterRunStatus(status) for status in _UNFINISHED]
    return dg.RunsFilter(tags={"dagster/partition": name}, statuses=statuses)


def is_alive(record: "dg.RunRecord", stands: Standing) -> bool:
    """Whether an unfinished run really is under way: a killed one leaves its status behind."""
    return _is_alive(_facts(record), stands)


def _is_alive(run: RunFacts, stands: Standing) -> bool:
    pid = run.tags.get(PID_TAG, "")  # anyone who launches a run may write anything there
    if run.tags.get(HOST_TAG) == socket.gethostname() and re.fullmatch("[0-9]{1,9}", pid, re.ASCII):
        return _exists(int(pid))
    if run.status == "QUEUED":
        return True
    return bool(stands.tasks) or time.time() - run.updated < STALE


def _exists(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _stage(runs: Runs, run: RunFacts) -> str:
    """The stage that a run is in, or was in at its end."""
    if run.job in _STAGE_OF_JOB:
        return _STAGE_OF_JOB[run.job]
    step = runs.last_step(run.run_id)
    return _STAGE_OF_STEP.get(step.split(".")[0], "run") if step else "run"
