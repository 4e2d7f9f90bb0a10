"""`ptolemy status`: how far projects are, once or again and again."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from ptolemy_core.catalog import Catalog, place, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.errors import StagingError
from ptolemy_core.facts.projects import LocalStatusFacts
from ptolemy_core.sizes import counted, duration, readable
from ptolemy_core.status import free_space
from ptolemy_core.status.rate import blitz_progress, describe_task, percent
from ptolemy_core.status.state import ProjectState
from ptolemy_dagster import lost_cars
from ptolemy_dagster.cli import output, waiting
from ptolemy_dagster.cli.idle import runs_of
from ptolemy_dagster.cli.stages import Json, open_catalog

if TYPE_CHECKING:
    from ptolemy_dagster.status import Status

_TASKS = 8
"""CARs under way that are named at most."""
_WATCHED = 2.0
"""Seconds between two looks of --watch in a terminal."""


def status(
    project: Annotated[str | None, typer.Argument(help="A project; default: all of them.")] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update the display until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show how far projects are, and what is running."""
    if watch and as_json:
        raise typer.BadParameter("--watch and --json can't be combined: give one of them")
    with output.errors_shown():
        catalog = open_catalog()
        found = _found(catalog, project)
        if as_json:
            output.print_facts([_facts(catalog, one) for one in found])
            return
        while watch:
            if output.out.is_terminal:
                output.out.clear()
            _show(catalog, found)
            time.sleep(_WATCHED if output.out.is_terminal else output.SAID_EVERY)
            found = _found(catalog, project)
        _show(catalog, found)


def _found(catalog: Catalog, project: str | None) -> "list[Status]":
    from ptolemy_dagster.status import status_of, statuses_of

    runs = runs_of(catalog)
    if project:
        return [status_of(catalog, runs, project)]
    return [status for _, status in statuses_of(catalog, runs, projects.names(catalog)).values()]


def _show(catalog: Catalog, found: "list[Status]") -> None:
    if not found:
        output.say(no_project())
        return
    header = ("project", "status", "CARs built", "bytes built", "share", "rate", "time left")
    output.print_table(
        (*header, "verified", "delivered", "in no CAR"),
        [(one.project, one.text, *_columns(one.state)) for one in found],
    )
    for one in found:
        _say_more(catalog, one)
    if len(found) == 1:
        settings = projects.get(catalog, found[0].project)
        output.say(f"target_dir is {settings.target_dir}\nstaging_dir is {settings.staging_dir}")


def _say_more(catalog: Catalog, one: "Status") -> None:
    """What else is to be known of a project, if anything is."""
    if one.reason:
        output.say(f"{one.project}: {one.reason}")
    if one.remarks:
        output.say(f"{one.project}: {one.remarks}")
    for task in one.state.tasks[:_TASKS]:
        output.say(f"{one.project}: {task.task}: {describe_task(task)}")
    if len(one.state.tasks) > _TASKS:
        output.say(
            f"{one.project}: and {counted(len(one.state.tasks) - _TASKS, 'more CAR', 'more CARs')} under way"
        )
    with output.errors_shown():
        waiting.say(catalog, one.project)
    missing = _missing(catalog, one.project)
    if missing:
        output.say(f"{one.project}: {lost_cars.missing(missing)}")


def no_project() -> str:
    """What to say where no project is defined."""
    return (
        "no project yet: ptolemy create NAME --target-dir FOLDER --staging-dir FOLDER (state is in "
        f"{place.place()}; DAGSTER_HOME or PTOLEMY_PG_URL says where)"
    )


def _facts(catalog: Catalog, one: "Status") -> LocalStatusFacts:
    missing = _missing(catalog, one.project)
    settings = projects.get(catalog, one.project)
    return LocalStatusFacts.of(
        one.project,
        one.state,
        one.text,
        one.reason,
        one.run_id,
        target_dir=settings.target_dir,
        staging_dir=settings.staging_dir,
        missing=None if missing is None else len(missing),
    )


def _missing(catalog: Catalog, project: str) -> list[CarRow] | None:
    """Built CARs that are neither in staging_dir nor delivered; None where that can't be read."""
    try:
        return free_space.missing(catalog, projects.get(catalog, project))
    except StagingError as error:
        output.say(f"{project}: {error}")
        return None


def _columns(state: ProjectState) -> tuple[str, ...]:
    """Columns of a project's CARs; a dash where there is nothing to say yet."""
    kept_out = f"{state.not_stored.total:,}" if state.scanned else "-"
    if not state.containers:
        return ("-", "-", "-", "", "", "-", "-", kept_out)
    whole = blitz_progress(state)
    return (
        f"{state.built:,} of {state.containers:,}",
        f"{readable(whole.done)} of {readable(whole.total or 0)}",
        percent(whole.share),
        f"{readable(whole.rate)}/s" if whole.rate else "",
        "" if whole.seconds_left is None else duration(whole.seconds_left),
        f"{state.verified:,}",
        f"{state.delivered:,}",
        kept_out,
    )
