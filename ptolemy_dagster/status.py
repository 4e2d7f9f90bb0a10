"""A project's status in the words its users know, from the catalog and Dagster's runs; nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.facts.projects import StatusFacts
from ptolemy_core.sizes import readable
from ptolemy_core.stages.order import Stage
from ptolemy_core.status.state import ProjectState, project_state
from ptolemy_dagster.failures import why_ended
from ptolemy_dagster.liveness import is_alive

_DONE = {
    "defined": "defined",
    "scan": "scan completed",
    "containerization": "containerization complete",
    "blitz": "blitz complete",
}
_STAGE_OF_STEP = {
    "scan_result": Stage.SCAN,
    "container_plan": Stage.CONTAINERIZE,
    "built_cars": Stage.BLITZ,
    "car": Stage.BLITZ,
    "dataset_root": Stage.ROOT,
    "manifest": Stage.MANIFEST,
    "built_cars_cars_verify": Stage.VERIFY,
    "container_plan_plan_covers_scan": Stage.CONTAINERIZE,
}
LOST = "its process ended without saying why: it was killed, or its machine is down; run the stage again"
"""The reason of a run that looks unfinished, and whose process is gone."""

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
    """Status of a project.

    Attributes:
        project: its name.
        text: the status in a person's words.
        state: what the catalog says.
        run_id: the last run, if there is one.
        reason: why that run failed; None: it didn't.
        under_way: whether that run waits in the queue or executes.
    """

    project: str
    text: str
    state: ProjectState
    run_id: str | None
    reason: str | None = None
    under_way: bool = False

    def facts(self) -> StatusFacts:
        """All that JSON says of it."""
        return StatusFacts.of(self.project, self.state, self.text, self.reason, self.run_id)

    @property
    def remarks(self) -> str:
        """What a person should know beside the text; empty if there is nothing."""
        if self.state.is_empty:
            return "nothing to store"
        return str(self.state.not_stored)


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
    state = project_state(catalog, name)
    newest: Sequence[dg.RunRecord] = ()
    if instance is not None:
        newest = instance.get_run_records(
            dg.RunsFilter(tags={"dagster/partition": name}), limit=1, order_by="update_timestamp"
        )
    if instance is not None and newest:
        run = newest[0].dagster_run
        if run.status in _UNFINISHED and is_alive(catalog, newest[0], state):
            stage = _stage(instance, run)
            waiting = run.status in (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
            text = f"{'waiting for' if waiting else 'executing'} {stage}"
            return Status(name, text, state, run.run_id, under_way=True)
        if run.status in _FAILED or run.status in _UNFINISHED:
            word = "canceled" if run.status == dg.DagsterRunStatus.CANCELED else "failed"
            lost = LOST if run.status in _UNFINISHED else None
            reason = lost or why_ended(instance, run).text
            return Status(name, f"{_stage(instance, run)} {word}", state, run.run_id, reason)
    text = _DONE[state.done]
    if state.waiting is not None and state.done == "containerization":
        text = (
            f"waiting for {readable(state.waiting.bytes)} in staging"
            if state.waiting.bytes
            else "room to go on"
        )
    return Status(name, text, state, newest[0].dagster_run.run_id if newest else None)


def under_way(catalog: Catalog, instance: dg.DagsterInstance, name: str) -> bool:
    """Whether a run of a project waits or executes."""
    return live_run(catalog, instance, name) is not None


def live_run(catalog: Catalog, instance: dg.DagsterInstance, name: str) -> dg.DagsterRun | None:
    """The run of a project that is under way or waits for its turn; None if there is none."""
    unfinished = instance.get_run_records(
        dg.RunsFilter(tags={"dagster/partition": name}, statuses=_UNFINISHED), order_by="update_timestamp"
    )
    if not unfinished:
        return None
    state = project_state(catalog, name)
    return next((record.dagster_run for record in unfinished if is_alive(catalog, record, state)), None)


def _stage(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The stage that a run is in, or was in at its end."""
    if run.job_name in tuple(Stage):
        return Stage(run.job_name).noun
    steps = sorted(instance.get_run_step_stats(run.run_id), key=lambda step: step.start_time or 0)
    for step in reversed(steps):
        if step.start_time:
            stage = _STAGE_OF_STEP.get(step.step_key.split(".")[0])
            return stage.noun if stage else "run"
    return "run"
