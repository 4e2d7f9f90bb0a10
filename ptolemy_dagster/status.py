"""A project's status in the words its users know, from the catalog and Dagster's runs; nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog.cars import GENERATED
from ptolemy_core.project import Project
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages.order import Stage
from ptolemy_core.status.state import ProjectState, project_state, project_states
from ptolemy_dagster.alive import run_lives
from ptolemy_dagster.run_facts import PARTITION_TAG, RunFacts

if TYPE_CHECKING:
    import dagster as dg

    from ptolemy_core.facts.projects import StatusFacts

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
    "deals": Stage.DEAL,
    "deals_replicated": Stage.DEAL,
    "built_cars_cars_verify": Stage.VERIFY,
    "container_plan_plan_covers_scan": Stage.CONTAINERIZE,
}
_UNFINISHED = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
_FAILED = ("FAILURE", "CANCELED")
_REMEMBERED = 10_000
LOST = "its process ended without saying why: it was killed, or its machine is down; run the stage again"
"""The reason of a run that looks unfinished, and whose process is gone."""


class Runs(Protocol):
    """Where runs are looked up."""

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        ...

    def newest_of(self, projects: Sequence[str]) -> dict[str, RunFacts]:
        """`newest` of each of some projects that has a run."""
        ...

    def last_step(self, run_id: str) -> str | None:
        """The step of a run that started last."""
        ...

    def why_failed(self, run_id: str) -> str | None:
        """Why a run failed; None if it didn't."""
        ...


class InstanceRuns:
    """Runs of a Dagster instance."""

    def __init__(self, instance: "dg.DagsterInstance") -> None:
        """Look up in this instance."""
        self._instance = instance

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        import dagster as dg

        from ptolemy_dagster.liveness import facts_of

        found = self._instance.get_run_records(
            dg.RunsFilter(tags={PARTITION_TAG: project}), limit=1, order_by="update_timestamp"
        )
        return facts_of(found[0]) if found else None

    def newest_of(self, projects: Sequence[str]) -> dict[str, RunFacts]:
        """`newest` of each of some projects that has a run."""
        return {name: run for name in projects if (run := self.newest(name)) is not None}

    def last_step(self, run_id: str) -> str | None:
        """The step of a run that started last."""
        steps = [step for step in self._instance.get_run_step_stats(run_id) if step.start_time]
        return max(steps, key=lambda step: step.start_time or 0).step_key if steps else None

    def why_failed(self, run_id: str) -> str | None:
        """Why a run failed; None if it didn't."""
        from ptolemy_dagster.failures import why_ended

        run = self._instance.get_run_by_id(run_id)
        return None if run is None else why_ended(self._instance, run).text


class RememberedRuns:
    """Runs as another one has them; what is known of those that failed is read once."""

    def __init__(self, runs: Runs, instance: "dg.DagsterInstance") -> None:
        """`instance` says why a run failed."""
        self._runs = runs
        self._of_instance = InstanceRuns(instance)
        self._why: dict[str, str | None] = {}

    def newest(self, project: str) -> RunFacts | None:
        """The run of a project that was changed last."""
        return self._runs.newest(project)

    def newest_of(self, projects: Sequence[str]) -> dict[str, RunFacts]:
        """`newest` of each of some projects that has a run."""
        return self._runs.newest_of(projects)

    def last_step(self, run_id: str) -> str | None:
        """The step of a run that started last."""
        return self._runs.last_step(run_id)

    def why_failed(self, run_id: str) -> str | None:
        """Why a run failed; None if it didn't. It is asked for only when the run has ended."""
        if run_id not in self._why:
            if len(self._why) >= _REMEMBERED:
                self._why.clear()
            self._why[run_id] = self._of_instance.why_failed(run_id)
        return self._why[run_id]


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

    def facts(self) -> "StatusFacts":
        """All that JSON says of it."""
        from ptolemy_core.facts.projects import StatusFacts

        return StatusFacts.of(self.project, self.state, self.text, self.reason, self.run_id)

    @property
    def remarks(self) -> str:
        """What a person should know beside the text; empty if there is nothing."""
        if self.state.is_empty:
            return "nothing to store"
        said = [str(self.state.not_stored)]
        if self.state.dead:
            said.append(
                f"{counted(self.state.dead, 'generated CAR is', 'generated CARs are')} dead: the source changed"
            )
        if self.state.car_storage == GENERATED:
            said.append("new CARs are generated, not staged")
        return "; ".join(filter(None, said))


def project_status(catalog: Catalog, instance: "dg.DagsterInstance", name: str) -> Status:
    """`status_of`, with the runs of a Dagster instance."""
    return status_of(catalog, InstanceRuns(instance), name)


def status_of(catalog: Catalog, runs: Runs | None, name: str) -> Status:
    """The status of a project.

    Args:
        catalog: that holds the project.
        runs: where its runs are looked up; None where the home can only be read: nothing runs there.
        name: the project's.

    Raises:
        UnknownProjectError: no such project.
    """
    found = statuses_of(catalog, runs, [name])
    if not found:
        projects.get(catalog, name)  # says that there is none
    return found[name][1]


def statuses_of(
    catalog: Catalog, runs: Runs | None, names: Sequence[str]
) -> dict[str, tuple[Project, Status]]:
    """Settings and statuses of many projects, in few statements; of names that no project has, nothing."""
    states = project_states(catalog, names)
    newest = runs.newest_of(list(states)) if runs is not None else {}
    return {
        name: (project, _status(catalog, runs, name, state, newest.get(name)))
        for name, (project, state) in states.items()
    }


def _status(
    catalog: Catalog, runs: Runs | None, name: str, state: ProjectState, run: RunFacts | None
) -> Status:
    if runs is not None and run is not None:
        if run.status in _UNFINISHED and run_lives(catalog, run, state):
            waiting = run.status in ("QUEUED", "NOT_STARTED")
            text = f"{'waiting for' if waiting else 'executing'} {_stage(runs, run)}"
            return Status(name, text, state, run.run_id, under_way=True)
        if run.status in _FAILED or run.status in _UNFINISHED:
            word = "canceled" if run.status == "CANCELED" else "failed"
            reason = LOST if run.status in _UNFINISHED else runs.why_failed(run.run_id)
            return Status(name, f"{_stage(runs, run)} {word}", state, run.run_id, reason)
    text = _DONE[state.done]
    if state.waiting is not None and state.done == "containerization":
        text = (
            f"waiting for {readable(state.waiting.bytes)} in staging"
            if state.waiting.bytes
            else "ready to continue"
        )
    return Status(name, text, state, run.run_id if run else None)


def under_way(catalog: Catalog, instance: "dg.DagsterInstance", name: str) -> bool:
    """Whether a run of a project waits or executes."""
    return live_run(catalog, instance, name) is not None


def live_run(catalog: Catalog, instance: "dg.DagsterInstance", name: str) -> "dg.DagsterRun | None":
    """The run of a project that is under way or waits for its turn; None if there is none."""
    import dagster as dg

    from ptolemy_dagster.liveness import is_alive

    statuses = [dg.DagsterRunStatus(status) for status in _UNFINISHED]
    unfinished = instance.get_run_records(
        dg.RunsFilter(tags={PARTITION_TAG: name}, statuses=statuses), order_by="update_timestamp"
    )
    if not unfinished:
        return None
    state = project_state(catalog, name)
    return next((record.dagster_run for record in unfinished if is_alive(catalog, record, state)), None)


def _stage(runs: Runs, run: RunFacts) -> str:
    """The stage that a run is in, or was in at its end."""
    if run.job in tuple(Stage):
        return Stage(run.job).noun
    step = runs.last_step(run.run_id)
    stage = _STAGE_OF_STEP.get(step.split(".")[0]) if step else None
    return stage.noun if stage else "run"
