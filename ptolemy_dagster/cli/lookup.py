"""Commands that answer questions: cars, find."""

import itertools
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Annotated

import typer

from ptolemy_core import urls
from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.catalog import find as look_up
from ptolemy_core.catalog.cars import GENERATED
from ptolemy_core.errors import NotFoundError
from ptolemy_core.facts.files import FileFacts
from ptolemy_core.sizes import readable
from ptolemy_core.tree import paths
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, Name, open_catalog, show_cars
from ptolemy_dagster.cli.status import no_project


def cars_command(project: Name, as_json: Json = False) -> None:
    """List the built CARs of a project, and the CAR of its root, with their CIDs."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        show_cars(catalog, project, as_json)


def find(
    what: Annotated[
        str, typer.Argument(metavar="PATH|CID", help="A path in target-dir, a pattern, or any CID.")
    ],
    project: Annotated[str | None, typer.Option("--project", "-p", help="Search only this project.")] = None,
    prefix: Annotated[bool, typer.Option("--prefix", help="All paths that start with PATH.")] = False,
    glob: Annotated[
        bool, typer.Option("--glob", help="All paths that match a pattern, such as **/IMG_*.jpg.")
    ] = False,
    gone: Annotated[
        bool, typer.Option("--all", help="Include versions that a later scan found changed or gone.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most N rows.")] = 1000,
    as_json: Json = False,
) -> None:
    """Show which CAR and piece hold a file or CID, and at which bytes. Exit code 1 if nothing is found."""
    if prefix and glob:
        raise typer.BadParameter("--prefix and --glob can't be combined: give one of them")
    with output.errors_shown():
        catalog = open_catalog()
        if project is not None:
            projects.get(catalog, project)
        search = look_up.find_prefix if prefix else look_up.find_glob if glob else look_up.find_path
        places = _places(catalog, what, project)
        found = _first(
            limit + 1,
            itertools.chain.from_iterable(search(catalog, text, name, gone=gone) for text, name in places),
        )
        if not found and not (prefix or glob):
            found = _otherwise(catalog, what, project, gone, limit + 1)
        cut = found[limit:]
        found = found[:limit]
        facts = FileFacts.listed(catalog, found)
        if as_json:
            output.print_facts(facts)
        if not found:
            raise NotFoundError(_nothing(catalog, what, places, search))
    if not as_json:
        _show_found(facts)
    if cut:
        output.say(f"these are the first {limit}: --limit N shows more")


def _first(count: int, found: Iterator[look_up.Found]) -> list[look_up.Found]:
    return list(itertools.islice(found, count))


def _otherwise(
    catalog: Catalog, what: str, project: str | None, gone: bool, limit: int
) -> list[look_up.Found]:
    """What is found by a CID, or by a path with escapes as manifests have them."""
    with suppress(ValueError):
        return _first(limit, look_up.find_cid(catalog, what, project))
    with suppress(ValueError):
        path = os.fsdecode(paths.to_slashes(paths.unescape(what)))
        if path != what:
            return _first(limit, look_up.find_path(catalog, path, project, gone=gone))
    return []


def _places(catalog: Catalog, what: str, project: str | None) -> list[tuple[str, str | None]]:
    """What a user typed, as texts below the target_dir of a project (None: of each).

    `./x` is x, and an absolute path is what it is below the target_dir of the projects that have it.
    """
    if what.startswith("/") or urls.is_url(what):
        tops = {
            name: projects.get(catalog, name).target_dir
            for name in ([project] if project else projects.names(catalog))
        }
        inside = [(paths.relative_to(top, what), name) for name, top in tops.items()]
        found: list[tuple[str, str | None]] = [
            (_plain(text), name) for text, name in inside if text is not None
        ]
        if found:
            return found
    return [(_plain(what), project)]


def _plain(text: str) -> str:
    """A path without what means nothing in it: names that are a single dot, and slashes that are doubled."""
    names = [name for name in text.split("/") if name not in ("", ".")]
    return "/".join(names) + ("/" if names and text.endswith("/") else "")


def _nothing(
    catalog: Catalog,
    what: str,
    places: Sequence[tuple[str, str | None]],
    search: Callable[..., Iterator[look_up.Found]],
) -> str:
    if not projects.names(catalog):
        return no_project()
    if any(_first(1, search(catalog, text, project)) for text, project in places):
        return f"{what!r} is gone: --all shows the versions that earlier scans found"
    told = f"no file or CID matches {what!r}: give a path below target_dir, or a CID of a file, shard, CAR or piece"
    if not _is_name(what):
        return told
    return f"{told}; to search all folders: ptolemy find --glob {shlex.quote('**/' + what)}"


def _is_name(what: str) -> bool:
    """Whether it looks like a file's name without its folder."""
    return "/" not in what and "*" not in what and not what.startswith(("baf", "baga", "Qm"))


def _show_found(found: Sequence[FileFacts]) -> None:
    output.print_table(
        (
            "project",
            "path",
            "size",
            "CID",
            "CAR",
            "piece CID",
            "offset",
            "bytes in the CAR",
            "stored by",
            "version",
            "storage",
        ),
        [
            (
                one.project,
                (one.path or ".") + (f" [shard {one.shard}]" if one.shard is not None else ""),
                readable(one.length if one.length is not None else one.size),
                one.cid or ("left out by the scan" if one.kind == "left out" else "not built"),
                "" if one.container is None else f"{one.container:06d}",
                one.piece_cid or "",
                "" if one.car_offset is None else one.car_offset,
                "" if one.car_length is None else one.car_length,
                " ".join(one.stored_by),
                "" if one.current else "replaced",
                "dead" if one.dead else one.car_storage if one.car_storage == GENERATED else "",
            )
            for one in found
        ],
    )
