"""`ptolemy restore`: a project's files back from its CARs, with the catalog's help."""

import os
from typing import Annotated

import typer

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.dag import cid
from ptolemy_core.errors import PtolemyError
from ptolemy_core.open_files import allow_open_files
from ptolemy_core.restore import Needs, ProjectRestore, Report
from ptolemy_core.sizes import counted, readable
from ptolemy_dagster.cli import given, output
from ptolemy_dagster.cli.chosen import tree_path
from ptolemy_dagster.cli.extract import Overwrite, Sparse, show
from ptolemy_dagster.cli.stages import Json, Name, open_catalog


def restore(
    project: Name,
    path: Annotated[
        list[str] | None, typer.Argument(help="Files and folders below target-dir; all without.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Folder to write to; made if it isn't there.")
    ] = None,
    cars: Annotated[
        list[str] | None,
        typer.Option("--cars", help="Folder that holds CARs; may be repeated. Default: staging-dir."),
    ] = None,
    scan: Annotated[
        int | None, typer.Option("--scan", help="As this scan saw it; default: the newest.")
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Show which CARs are needed, write nothing.")
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Restore what is there though CARs are missing.")
    ] = False,
    overwrite: Overwrite = False,
    sparse: Sparse = True,
    as_json: Json = False,
) -> None:
    """Restore a project, or files and folders of it, from its CARs. Run again to go on."""
    if to is None and not listing:
        raise typer.BadParameter("give the folder to write to", param_hint="--to")
    with output.errors_shown():
        if to is not None:
            given.not_empty([to], "--to")
        folders = [os.path.abspath(folder) for folder in given.not_empty(cars, "--cars")]
        catalog = open_catalog()
        chosen = _chosen(catalog, project, given.not_empty(path, "PATH"))
        plan = ProjectRestore(catalog, project, wanted=chosen, folders=folders, scan_id=scan)
        needs = plan.needs
        if listing:
            _list(needs, as_json)
            return
        assert to is not None
        _require(needs, partial)
        if not as_json:
            entries, from_cars = counted(needs.entries, "entry", "entries"), counted(len(needs.cars), "CAR")
            output.say(f"{entries}, {readable(needs.size)}, from {from_cars}")
        allow_open_files(len(needs.cars))
        with output.byte_progress() as bars:
            task = bars.add_task("restoring", total=needs.size, visible=bars.console.is_terminal)
            report: Report = plan.write(
                os.fsencode(to),
                replace=overwrite,
                sparse=sparse,
                threads=os.cpu_count() or 1,
                progress=lambda done: bars.advance(task, done),
            )
        show(report, os.fsencode(to), as_json)


def _chosen(catalog: Catalog, project: str, typed: list[str]) -> list[bytes]:
    """The paths below target_dir that a user typed, some of them perhaps with it; none where all is asked for."""
    settings = projects.get(catalog, project)
    found = [tree_path(catalog, settings, text) for text in typed]
    return [] if b"" in found else found


def _require(needs: Needs, partial: bool) -> None:
    """See that nothing is missing.

    Raises:
        PtolemyError: CARs are.
    """
    lines = [f"{cid.to_text(one.car.piece_cid_v1)}.car: {one.reason}" for one in needs.missing]
    if not lines:
        return
    what = (
        f"{len(lines):,} of {counted(len(needs.cars), 'CAR')} needed {'is' if len(lines) == 1 else 'are'} missing:\n"
        + "\n".join(lines)
    )
    if not partial:
        raise PtolemyError(what + "\ngive their folders with --cars, or restore what is there with --partial")
    output.say(what)


def _list(needs: Needs, as_json: bool) -> None:
    if as_json:
        rows = [
            {
                "container": one.car.number,
                "piece_cid": cid.to_text(one.car.piece_cid_v1),
                "piece_cid_v2": cid.to_text(one.car.piece_cid_v2),
                "payload_cid": cid.to_text(one.car.payload_cid),
                "car_size": one.car.car_size,
                "path": one.path,
                "missing": one.reason or None,
            }
            for one in needs.cars
        ]
        output.print_json(
            {"entries": needs.entries, "bytes": needs.size, "unbuilt": needs.unbuilt, "cars": rows}
        )
    else:
        output.print_table(
            ("CAR", "piece CID", "size", "where"),
            [
                (
                    f"{one.car.number:06d}",
                    cid.to_text(one.car.piece_cid_v1),
                    f"{one.car.car_size:,}",
                    one.path or f"MISSING: {one.reason}",
                )
                for one in needs.cars
            ],
        )
        entries, lost = counted(needs.entries, "entry", "entries"), counted(len(needs.missing), "CAR")
        output.say(f"{entries}, {readable(needs.size)}, {lost} missing")
        for path in needs.unbuilt:
            output.say(f"in no CAR yet: {path}")
    if needs.missing:
        raise typer.Exit(output.FAILED)
