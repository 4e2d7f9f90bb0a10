"""Commands for a whole data set: its root, and manifests."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ptolemy_core.catalog import projects, roots
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.errors import SettingsError
from ptolemy_core.facts.cars import RootFacts
from ptolemy_core.facts.projects import ManifestFacts
from ptolemy_core.keys import configured_keys
from ptolemy_core.manifest import default_format
from ptolemy_core.manifest.sealed import unseal
from ptolemy_core.sizes import counted, readable
from ptolemy_core.stages import root_job
from ptolemy_core.stages.dataset import build_root
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, Name, open_catalog, run_stage


def root(
    project: Name,
    history: Annotated[bool, typer.Option("--history", help="Show all roots so far; create none.")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Write its CAR again if it isn't in staging-dir.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the root CID of the whole data set, and a small CAR with the folder nodes that link all CARs."""
    if history:
        with output.errors_shown():
            catalog = open_catalog()
            projects.get(catalog, project)
    elif rebuild:
        with output.errors_shown():
            catalog = open_catalog()
            build_root(catalog, project, rebuild=True)
    else:
        catalog = run_stage("root", project, as_json)
    found = list(roots.rows(catalog, project))
    _show(found if history else found[:1], as_json, history)
    if found and root_job.is_lost(projects.get(catalog, project), found[0]):
        output.say(
            f"its CAR isn't in the staging folder, and isn't marked as delivered: ptolemy root {project} --rebuild "
            "writes it again"
        )


def _show(found: list[RootRow], as_json: bool, history: bool) -> None:
    if as_json:
        rows = [RootFacts.of(row) for row in found]
        output.print_facts(rows if history else rows[0])
        return
    output.print_table(
        ("scan", "root CID", "entries", "piece CID", "CAR size", "blocks"),
        [
            (
                row.scan,
                row.root_cid,
                f"{row.entries:,}",
                row.piece_cid,
                readable(row.car_size),
                f"{row.blocks:,}",
            )
            for row in map(RootFacts.of, found)
        ],
    )
    if found and found[0].left_out:
        output.say(
            f"{counted(found[0].left_out, 'entry', 'entries')} of the last scan in no CAR, so not below its root"
        )


def manifest(
    project: Name,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="parquet, csv or jsonl; default: parquet if PyArrow is installed, otherwise csv.",
        ),
    ] = None,
    car: Annotated[int | None, typer.Option("--car", min=0, help="Only the CAR of this number.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the files; default: manifests in staging-dir.")
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Where CARs can be fetched: https://…/{piece_cid}.car")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Don't encrypt it, though the project is: it holds names.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write which bytes of which CAR hold each file, and a summary of the CARs with their CIDs."""
    with output.errors_shown():
        options = ManifestOptions(
            default_format() if form is None else form, str(to) if to else None, url, plain
        )
        written = write_manifest(open_catalog(), project, options, number=car)
    if as_json:
        output.print_facts(ManifestFacts(**asdict(written)))
        return
    for path in (written.manifest, written.summary, written.table, written.keys):
        if path is not None:
            typer.echo(path)
    output.say(f"{counted(written.rows, 'row')} of {counted(written.cars, 'CAR')}")


def decrypt(
    manifest_file: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="A manifest of an encrypted project.")
    ],
    to: Annotated[Path, typer.Option("--to", help="File to write; it must not be there yet.")],
) -> None:
    """Decrypt a manifest with the key of the project's alias."""
    with output.errors_shown():
        try:
            parts = unseal(str(manifest_file), configured_keys())
            first = next(parts, b"")  # it is wholly authentic then
            with open(to, "xb") as file:
                file.write(first)
                file.writelines(parts)
        except OSError as error:
            raise SettingsError(f"{error.filename}: {error.strerror}; nothing was decrypted") from None
        output.say(f"{to} is the manifest, decrypted")
