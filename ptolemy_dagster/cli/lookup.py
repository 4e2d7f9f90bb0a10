"""Commands that answer questions: status, cars, find."""

import itertools
from dataclasses import asdict
from typing import Annotated

import typer

from ptolemy_core.catalog import find as look_up
from ptolemy_core.catalog import projects
from ptolemy_core.errors import PtolemyError
from ptolemy_core.sizes import duration, readable
from ptolemy_core.stages.pace import blitz_pace, percent, task_said
from ptolemy_core.stages.status import Standing
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, Name, open_catalog, show_cars

_TASKS = 8
"""CARs under way that `status` names at most."""


def status(
    project: Annotated[str | None, typer.Argument(help="A project; all of them without.")] = None,
    as_json: Json = False,
) -> None:
    """How far projects are, and what runs now."""
    from ptolemy_dagster.instance import open_instance
    from ptolemy_dagster.status import project_status

    with output.errors_shown():
        catalog = open_catalog()
        chosen = [project] if project else projects.names(catalog)
        instance = open_instance()
        found = [project_status(catalog, instance, name) for name in chosen]
    if as_json:
        rows = [
            {"project": one.project, "status": one.text, "run_id": one.run_id} | asdict(one.standing)
            for one in found
        ]
        output.print_json(rows)
        return
    if not found:
        output.say("no project yet: ptolemy create NAME --target-dir FOLDER --staging-dir FOLDER")
        return
    output.print_table(
        ("project", "status", "CARs built", "bytes built", "share", "rate", "time left"),
        [(one.project, one.text, *_progress(one.standing)) for one in found],
    )
    for one in found:
        for task in one.standing.tasks[:_TASKS]:
            output.say(f"{one.project}: {task.task}: {task_said(task)}")
        if len(one.standing.tasks) > _TASKS:
            output.say(f"{one.project}: and {len(one.standing.tasks) - _TASKS} more CARs under way")


def _progress(stands: Standing) -> tuple[str, ...]:
    """Columns of a project's CARs; a dash where there is nothing to say yet."""
    if not stands.containers:
        return ("-",) * 5
    pace = blitz_pace(stands)
    moving = pace.rate > 0 and pace.done < pace.total
    return (
        f"{stands.built:,} of {stands.containers:,}",
        f"{readable(pace.done)} of {readable(pace.total)}",
        percent(pace.share),
        f"{readable(pace.rate)}/s" if moving else "-",
        duration(pace.seconds_left) if moving and pace.seconds_left is not None else "-",
    )


def cars_command(project: Name, as_json: Json = False) -> None:
    """The built CARs of a project with their CIDs."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        show_cars(catalog, project, as_json)


def find(
    what: Annotated[str, typer.Argument(metavar="PATH|CID", help="A path below target-dir, or any CID.")],
    project: Annotated[str | None, typer.Option("--project", "-p", help="Look in this project only.")] = None,
    limit: Annotated[int, typer.Option(help="Show so many at most.")] = 1000,
    as_json: Json = False,
) -> None:
    """Which CAR and piece holds a file, or what a CID names. Exit code 1 if nothing is found."""
    with output.errors_shown():
        catalog = open_catalog()
        found = list(itertools.islice(look_up.find_path(catalog, what, project), limit))
        if not found:
            try:
                found = list(itertools.islice(look_up.find_cid(catalog, what, project), limit))
            except ValueError:
                found = []
        if as_json:
            output.print_json([asdict(one) for one in found])
        if not found:
            raise PtolemyError(
                f"nothing is called {what!r}: give a path below target_dir, or a CID of a file, shard, CAR or piece"
            )
    if as_json:
        return
    output.print_table(
        ("project", "path", "bytes", "CID", "CAR", "piece CID", "offset"),
        [
            (
                one.project,
                one.path + (f" [shard {one.shard}]" if one.shard is not None else ""),
                one.length if one.length is not None else one.size,
                one.cid or "not built",
                "" if one.container is None else f"{one.container:06d}",
                one.piece_cid or "",
                "" if one.car_offset is None else one.car_offset,
            )
            for one in found
        ],
    )
