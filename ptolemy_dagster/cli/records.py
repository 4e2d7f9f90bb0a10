"""Commands about earlier scans and builds: skipped, history, changes."""

import itertools
import os
import time
from typing import Annotated

import typer

from ptolemy_core.catalog import history as versions_of
from ptolemy_core.catalog import projects
from ptolemy_core.catalog import skipped as records
from ptolemy_core.errors import NotFoundError
from ptolemy_core.facts.files import ChangesFacts, SkippedFacts, VersionFacts
from ptolemy_core.sizes import readable
from ptolemy_core.tree import paths
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.chosen import tree_path
from ptolemy_dagster.cli.stages import Json, Name, open_catalog

Limit = Annotated[int, typer.Option(help="Show at most N rows.", min=1)]


def skipped(
    project: Name,
    current: Annotated[
        bool,
        typer.Option("--current", help="Only entries that the last scan still couldn't store."),
    ] = False,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List entries that are in no CAR, with the reason: left out by a scan, or dropped by a blitz."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        found = list(itertools.islice(records.rows(catalog, project, current=current), limit))
    if as_json:
        output.print_facts([SkippedFacts.of(one) for one in found])
        return
    if not found:
        output.say(f"nothing of {project} was left out or dropped")
        return
    output.print_table(
        ("path", "reason", "stage", "CAR", "when", "current"),
        [
            (
                one.path + (f" [shard {one.shard}]" if one.shard is not None else ""),
                one.reason,
                one.stage,
                "" if one.container is None else f"{one.container:06d}",
                _when(one.at),
                "yes" if one.current else "",
            )
            for one in found
        ],
    )


def history(
    project: Name,
    path: Annotated[
        str, typer.Argument(help="A path in target-dir: a file, or a folder with everything in it.")
    ] = "",
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List all versions of files, and the CARs that hold them. Exit code 1 if there are none."""
    with output.errors_shown():
        catalog = open_catalog()
        chosen = tree_path(catalog, projects.get(catalog, project), path)
        text = os.fsdecode(paths.to_slashes(chosen))
        found = list(itertools.islice(versions_of.versions(catalog, project, text), limit))
        if as_json:
            output.print_facts([VersionFacts.of(one) for one in found])
        if not found and path:
            raise NotFoundError(f"no scan of {project} saw {path!r}: give a path below target_dir")
    if as_json:
        return
    output.print_table(
        ("path", "kind", "size", "modified", "scan", "gone scan", "CARs"),
        [
            (
                one.path,
                one.kind,
                readable(one.size),
                _when(one.mtime / 1e9),
                "; ".join(
                    [str(one.first_scan), *(f"absent {gone} to {back}" for gone, back in one.absences)]
                ),
                one.gone_scan or "",
                ", ".join(f"{number:06d}" for number in one.containers)
                + ("" if len(one.cars) == len(one.containers) else " (not all built)"),
            )
            for one in found
        ],
    )


def changes(
    project: Name,
    scan: Annotated[int | None, typer.Option(help="Number of the scan; default: the last one.")] = None,
    limit: Limit = 1000,
    as_json: Json = False,
) -> None:
    """List the entries that a scan found added, changed or gone."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        number = versions_of.last_scan(catalog, project, scan)
        found = list(itertools.islice(versions_of.changes(catalog, project, number), limit))
    if as_json:
        output.print_facts(ChangesFacts.of(project, number, found))
        return
    if not found:
        output.say(f"scan {number} of {project} found nothing new, changed or gone")
        return
    output.print_table(
        (f"scan {number}", "path", "size before", "size now"),
        [(c.what, c.path, _size(c.was), _size(c.now)) for c in found],
    )


def _size(value: int | None) -> str:
    return "" if value is None else readable(value)


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
