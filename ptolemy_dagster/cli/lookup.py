"""Commands that answer questions: status, cars, find."""

import itertools
from dataclasses import asdict
from typing import Annotated

import typer

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog import find as look_up
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.errors import PtolemyError, StagingError
from ptolemy_core.sizes import readable
from ptolemy_core.stages import room
from ptolemy_dagster.cli import output, waiting
from ptolemy_dagster.cli.stages import Json, Name, open_catalog, show_cars


def status(
    project: Annotated[str | None, typer.Argument(help="A project; all of them without.")] = None,
    as_json: Json = False,
) -> None:
    """How far projects are, and what runs now."""
    from ptolemy_dagster import show
    from ptolemy_dagster.instance import open_instance
    from ptolemy_dagster.status import project_status

    with output.errors_shown():
        catalog = open_catalog()
        chosen = [project] if project else projects.names(catalog)
        instance = open_instance()
        found = [project_status(catalog, instance, name) for name in chosen]
    if as_json:
        rows = [
            {"project": one.project, "status": one.text, "run_id": one.run_id}
            | asdict(one.standing)
            | {"missing": len(_missing(catalog, one.project))}
            for one in found
        ]
        output.print_json(rows)
        return
    if not found:
        output.say("no project yet: ptolemy create NAME --target-dir FOLDER --staging-dir FOLDER")
        return
    output.print_table(
        ("project", "status", "CARs built", "bytes built", "of"),
        [
            (
                one.project,
                one.text,
                f"{one.standing.built}/{one.standing.containers}",
                readable(one.standing.built_bytes),
                readable(one.standing.car_bytes),
            )
            for one in found
        ],
    )
    for one in found:
        for task in one.standing.tasks:
            done = (
                f"{task.done:,} entries"
                if task.total is None
                else f"{readable(task.done)} of {readable(task.total)}"
            )
            output.say(f"{one.project}: {task.task}: {done}")
        with output.errors_shown():
            waiting.say(catalog, one.project)
        missing = _missing(catalog, one.project)
        if missing:
            output.say(f"{one.project}: {show.missing(missing)}")


def _missing(catalog: Catalog, project: str) -> list[CarRow]:
    try:
        return room.missing(catalog, projects.get(catalog, project))
    except StagingError as error:
        output.say(f"{project}: {error}")
        return []


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
