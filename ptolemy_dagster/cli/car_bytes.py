"""Commands for the bytes of single CARs, staged or generated: export, cat, rebuild."""

import os
import re
import sys
from typing import Annotated

import typer

from ptolemy_core.catalog import Catalog, delivery, projects, stored_cars
from ptolemy_core.errors import PtolemyError, SettingsError
from ptolemy_core.sizes import readable
from ptolemy_core.stages.blitz import Building, build_container
from ptolemy_core.staging import export as exporting
from ptolemy_core.staging.stored import StoredCar
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import open_catalog

Car = Annotated[
    str, typer.Argument(metavar="CAR", help="Payload CID, piece CID v1 or v2, file name, or PROJECT/NUMBER.")
]
Project = Annotated[str | None, typer.Option("--project", "-p", help="Look in this project only.")]


def export(
    car: Car,
    to: Annotated[
        str, typer.Option("--to", help="File or folder to write to; in a folder the file is <piece CID>.car.")
    ] = ".",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    project: Project = None,
) -> None:
    """Write a CAR to a file, staged or generated, and check the file.

    The file appears under its name when it is complete, synced and known to have the CAR's piece CID.
    """
    with output.errors_shown():
        stored = _stored(open_catalog(), car, project)
        path = os.path.join(to, stored.file_name) if os.path.isdir(to) else to
        if os.path.lexists(path) and not overwrite:
            raise PtolemyError(f"{path} already exists: give another --to, or --overwrite to replace it")
        with output.byte_progress() as bars:
            task = bars.add_task("export", total=stored.car_size)
            exporting.export(stored, path, lambda step: bars.advance(task, step))
        output.say(f"{path}: {readable(stored.car_size)}, piece CID checked")


def cat(
    car: Car,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="A-B",
            help="Only bytes A to B, both included, counted from 0, as in HTTP; A- to the end, -N the last N.",
        ),
    ] = None,
    project: Project = None,
) -> None:
    """Write a CAR, or a byte range of it, to standard output.

    Exit code 1 if part of it can't be read; what was written until then is correct.
    """
    with output.errors_shown():
        stored = _stored(open_catalog(), car, project)
        first, count = _range(wanted, stored.car_size)
        if sys.stdout.isatty():
            raise PtolemyError("the bytes of a CAR don't belong on a terminal: redirect them, > FILE")
        with stored.open() as opened:
            for data in opened.ranges(first, count):
                sys.stdout.buffer.write(data)
        sys.stdout.flush()


def rebuild(
    car: Annotated[
        list[str],
        typer.Argument(metavar="CAR", help="Payload CID, piece CID v1 or v2, file name, or PROJECT/NUMBER."),
    ],
    project: Project = None,
) -> None:
    """Rebuild the lost outline of a generated CAR, or the lost file of a staged one.

    The source is read once; its CIDs must be those in the catalog.
    """
    with output.errors_shown():
        catalog = open_catalog()
        rows = {row.container_id: row for text in car for row in delivery.named(catalog, text, project)}
        with output.byte_progress() as bars:
            task = bars.add_task("rebuild", total=sum(row.car_size for row in rows.values()))
            how = Building(rebuild=True, progress=lambda step: bars.advance(task, step))
            for row in rows.values():
                _, new = build_container(catalog, row.project, row.number, how)
                what = "outline" if row.is_generated else "file"
                done = f"its {what} was made again" if new else f"its {what} is there and whole"
                output.say(f"{row.project}/{row.number:06d}: {done}")


def _stored(catalog: Catalog, text: str, project: str | None) -> StoredCar:
    """The CAR that a text names; of several with the same content one that can be read, best from a file."""
    found = [
        stored_cars.of_row(projects.get(catalog, row.project), row)
        for row in delivery.named(catalog, text, project)
    ]
    return min(found, key=lambda one: (one.dead is not None, one.look() is None, one.generated))


def _range(text: str | None, size: int) -> tuple[int, int]:
    """First byte and count of what `--range` asks for.

    Raises:
        SettingsError: it isn't a range inside the CAR.
    """
    if text is None:
        return 0, size
    match = re.fullmatch(r"([0-9]{0,19})-([0-9]{0,19})", text)
    if match and (match[1] or match[2]):
        if not match[1]:
            count = min(int(match[2]), size)
            return size - count, count
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if first <= last:
            return first, last - first + 1
    raise SettingsError(
        f"--range {text!r} isn't a range of the CAR's {size} bytes: give A-B, A- or -N, from 0"
    )
