"""Metrics in Prometheus' text format: projects by state, their bytes and CARs, rate, runs, errors, workers, pieces.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (text, version 0.0.4).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import dagster as dg
from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse

from ptolemy_core.catalog import deal_counts, projects
from ptolemy_core.catalog.workers import list_workers
from ptolemy_core.stages.replication import replication
from ptolemy_core.status.rate import blitz_progress
from ptolemy_core.status.state import ProjectState
from ptolemy_dagster.http.context import Context, opened
from ptolemy_dagster.http.problems import documented
from ptolemy_dagster.status import Status, statuses_of

router = APIRouter(tags=["server"])
TYPE = "text/plain; version=0.0.4; charset=utf-8"

_EXAMPLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"example": 'ptolemy_projects{state="blitz complete"} 1'}}}
}
_UNFINISHED = {
    "queued": [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED],
    "running": [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING],
}


@dataclass(slots=True)
class Metric:
    """A metric: its name, what it says, its kind, and its values by labels."""

    name: str
    help: str
    kind: str = "gauge"
    values: list[tuple[Mapping[str, str], float]] = field(default_factory=list)

    def add(self, value: float, **labels: str) -> None:
        """One more value."""
        self.values.append((labels, value))

    def lines(self) -> Iterator[str]:
        """The metric as text."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.values:
            shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            yield f"{self.name}{{{shown}}} {value:.15g}" if shown else f"{self.name} {value:.15g}"


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses=_EXAMPLE | documented(),
    summary="Metrics for Prometheus",
)
def metrics(request: Request, context: Annotated[Context, Depends(opened)]) -> PlainTextResponse:
    """How far projects are, what runs, who works, and the pieces served here, as Prometheus reads it."""
    pieces = "" if context.pieces is None else context.pieces.counts(request.scope)
    return PlainTextResponse(render(context) + pieces, media_type=TYPE)


def render(context: Context) -> str:
    """All metrics as text."""
    instance = context.dagster.instance
    statuses = statuses_of(context.catalog, context.dagster.runs, projects.names(context.catalog))
    found = [one for _, one in statuses.values()]
    metrics = [*_of_projects(found), *_of_deals(context), *_of_runs(instance), *_of_workers(context)]
    return "".join(line + "\n" for metric in metrics for line in metric.lines())


def _of_projects(found: list[Status]) -> Iterator[Metric]:
    states = Metric("ptolemy_projects", "Projects in each state.")
    for state, count in sorted(Counter(one.text for one in found).items()):
        states.add(count, state=state)
    yield states
    failed = Metric("ptolemy_project_failed", "1 where the last run of the project failed, else 0.")
    for one in found:
        failed.add(one.reason is not None, project=one.project)
    yield failed
    values: dict[str, tuple[str, Callable[[ProjectState], float]]] = {
        "planned_cars": ("CARs of the plan.", lambda state: state.containers),
        "built_cars": ("CARs that are built.", lambda state: state.built),
        "verified_cars": ("Built CARs that passed verification.", lambda state: state.verified),
        "delivered_cars": ("Built CARs that are marked as delivered.", lambda state: state.delivered),
        "planned_bytes": ("Bytes of all planned CARs.", lambda state: state.car_bytes),
        "done_bytes": (
            "Bytes of CARs that are built or being built.",
            lambda state: blitz_progress(state).done,
        ),
        "bytes_per_second": ("Bytes of CARs a second, now.", lambda state: blitz_progress(state).rate),
        "entries_in_no_car": (
            "Entries of the last scan that are in no CAR and won't be.",
            lambda state: state.not_stored.total,
        ),
        "tasks": ("Tasks that are under way.", lambda state: len(state.tasks)),
    }
    for name, (text, value) in values.items():
        metric = Metric(f"ptolemy_project_{name}", text)
        for one in found:
            metric.add(value(one.state), project=one.project)
        yield metric


def _of_deals(context: Context) -> Iterator[Metric]:
    made = Metric("ptolemy_deals", "Deals by project, provider and state.")
    size = Metric(
        "ptolemy_deal_bytes", "Padded bytes of the pieces of deals, by project, provider and state."
    )
    wanted = Metric("ptolemy_project_pieces", "Pieces of projects that are to have replicas.")
    enough = Metric("ptolemy_project_replicated_pieces", "Pieces that have enough active deals.")
    for project in projects.rows(context.catalog):
        for provider, state, number, padded in deal_counts.counts(context.catalog, project.name):
            made.add(number, project=project.name, provider=provider, state=state)
            size.add(padded, project=project.name, provider=provider, state=state)
        if project.replicas:
            found = replication(context.catalog, project.name)
            wanted.add(found.pieces, project=project.name)
            enough.add(found.replicated, project=project.name)
    yield from (made, size, wanted, enough)


def _of_runs(instance: dg.DagsterInstance) -> Iterator[Metric]:
    runs = Metric("ptolemy_runs", "Dagster runs that wait in the queue, and that execute.")
    for state, statuses in _UNFINISHED.items():
        runs.add(instance.get_runs_count(dg.RunsFilter(statuses=statuses)), state=state)
    yield runs
    failed = Metric(
        "ptolemy_failed_runs_total", "Dagster runs that failed since the home was made.", "counter"
    )
    failed.add(instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])))
    yield failed


def _of_workers(context: Context) -> Iterator[Metric]:
    now = time.time()
    lost = Counter(worker.is_lost(now) for worker in list_workers(context.catalog))
    workers = Metric("ptolemy_workers", "Processes that build CARs or wait for work, and lost ones.")
    workers.add(lost[False], state="alive")
    workers.add(lost[True], state="lost")
    yield workers


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
