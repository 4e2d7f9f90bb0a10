"""`ptolemy logs`: what the runs of a project said."""

import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ptolemy_core.catalog import projects
from ptolemy_core.errors import NotFoundError
from ptolemy_core.facts.fields import moment
from ptolemy_core.facts.projects import LogLineFacts
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, Name, open_catalog
from ptolemy_dagster.home import log_folder
from ptolemy_dagster.run_facts import PARTITION_TAG, stage_name

if TYPE_CHECKING:
    import dagster as dg

_POLL = 1.0
_TOLD = {
    "PIPELINE_ENQUEUED",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELING",
    "PIPELINE_CANCELED",
    "STEP_START",
    "STEP_SUCCESS",
    "STEP_FAILURE",
    "STEP_UP_FOR_RETRY",
    "STEP_SKIPPED",
    "ASSET_CHECK_EVALUATION",
    "ASSET_MATERIALIZATION",
}
"""Dagster's events that say how a run goes."""
_NAMES = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


def logs_command(
    project: Name,
    run: Annotated[str | None, typer.Option("--run", help="A run's id, or its beginning.")] = None,
    runs: Annotated[bool, typer.Option("--runs", help="List the runs, newest first.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the log until the run ends.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--debug", help="Also show Dagster's own debug messages.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the log of a project's last run, or of another run."""
    with output.errors_shown():
        projects.get(open_catalog(), project)
        from ptolemy_dagster.instance import open_instance

        with open_instance() as instance:
            found = _runs(instance, project)
            if runs:
                _list(found)
                return
            chosen = _chosen(found, project, run)
            lines = []
            for line in _lines(instance, chosen.run_id, everything, follow=follow):
                if as_json:
                    lines.append(line)
                else:
                    _show(line)
    if as_json:
        output.print_facts(lines)
        return
    path = os.path.join(log_folder(), f"{chosen.job_name}-{project}.log")
    if os.path.exists(path):
        output.say(f"run {chosen.run_id}; what its process wrote: {path}")
    else:
        output.say(f"run {chosen.run_id}")


def _runs(instance: "dg.DagsterInstance", project: str) -> "list[dg.DagsterRun]":
    import dagster as dg

    return list(instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: project}), limit=100))


def _chosen(found: "list[dg.DagsterRun]", project: str, run: str | None) -> "dg.DagsterRun":
    if not found:
        raise NotFoundError(f"no run of project {project!r} yet: ptolemy run {project}")
    chosen = next((one for one in found if one.run_id.startswith(run or "")), None)
    if chosen is None:
        raise NotFoundError(
            f"project {project!r} has no run {run!r}: ptolemy logs {project} --runs lists them"
        )
    return chosen


def _list(found: "list[dg.DagsterRun]") -> None:
    rows = [
        (one.run_id, stage_name(one.job_name), one.status.value.lower(), one.tags.get("progress", ""))
        for one in found
    ]
    output.print_table(("run", "job", "status", "last said"), rows)


def _lines(
    instance: "dg.DagsterInstance", run_id: str, everything: bool, *, follow: bool
) -> Iterator[LogLineFacts]:
    """The lines of a run in order, as they come."""
    cursor: str | None = None
    while True:
        finished = (run := instance.get_run_by_id(run_id)) is None or run.is_finished
        more = True
        while more:
            page = instance.get_records_for_run(run_id, cursor=cursor, limit=1000)
            cursor, more = page.cursor, page.has_more
            for record in page.records:
                entry = record.event_log_entry
                if everything or _matters(entry):
                    yield LogLineFacts(
                        at=moment(entry.timestamp),
                        level=_NAMES.get(_level(entry), str(entry.level)),
                        step=entry.step_key,
                        message=_message(entry),
                    )
        if finished or not follow:
            return
        time.sleep(_POLL)


def _matters(entry: "dg.EventLogEntry") -> bool:
    """Whether a line is for people, and not for Dagster's own book-keeping."""
    event = entry.dagster_event
    return int(entry.level) >= 20 if event is None else event.event_type_value in _TOLD


def _level(entry: "dg.EventLogEntry") -> int:
    return max(int(entry.level), 20 if _matters(entry) else 0)


def _message(entry: "dg.EventLogEntry") -> str:
    """What was said; of a step that failed, also why."""
    event = entry.dagster_event
    text: str = entry.user_message or entry.message
    if event is None or event.event_type_value != "STEP_FAILURE":
        return text
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return f"{text}\n{data.user_failure_data.description}"
    return f"{text}\n{data.error.message.strip()}" if data.error else text


def _show(line: LogLineFacts) -> None:
    when = f"{line.at.astimezone():%H:%M:%S}"
    level = "" if line.level == "info" else f"{line.level.upper()} "
    step = f"{line.step}: " if line.step else ""
    typer.echo(f"{when} {level}{step}{line.message}")
