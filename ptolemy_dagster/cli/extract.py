"""`ptolemy extract`: files out of CARs, without a project, a catalog or Dagster."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ptolemy_core import urls
from ptolemy_core.errors import PtolemyError, SettingsError
from ptolemy_core.facts.plain import ListedFacts, ProblemFacts, RestoredFacts
from ptolemy_core.open_files import allow_open_files
from ptolemy_core.reader.hashes import cid_text, parse_text
from ptolemy_core.reader.seekable import CarFile
from ptolemy_core.restore import Extraction, Limits, Report
from ptolemy_core.restore.path import Path as TreePath
from ptolemy_core.restore.path import path_of
from ptolemy_core.sizes import counted, readable
from ptolemy_core.tree import paths
from ptolemy_dagster.cli import given, output

if TYPE_CHECKING:
    from ptolemy_core.encryption import ProjectCipher

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite existing files that differ.")]
_BUILT = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,62}/[0-9]{1,9}")
_PROBLEMS = 100
"""Problems of a listing that are named."""


Sparse = Annotated[
    bool, typer.Option("--sparse/--no-sparse", help="Write blocks of zeros as holes, which take no space.")
]


def extract_command(
    cars: Annotated[
        list[Path],
        typer.Argument(
            help="CAR files of any writer, version 1 or 2; - for standard input; or built CARs as PROJECT/NUMBER."
        ),
    ],
    to: Annotated[str, typer.Option("--to", help="Folder to write to; created if necessary.")] = ".",
    path: Annotated[
        list[str] | None, typer.Option("--path", "-p", help="Only this file or folder; may be repeated.")
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="List the contents of the CARs; write nothing.")
    ] = False,
    raw_names: Annotated[
        bool,
        typer.Option(
            "--raw-names", help="Keep names such as x.ptolemy0: for CARs that Ptolemy didn't build."
        ),
    ] = False,
    root: Annotated[
        list[str] | None, typer.Option("--root", help="CID to restore instead of the CARs' own roots.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="There are no other CARs, so no more shards.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            help="Decrypt with an encrypted manifest of the project, or its .keys.json. The key of its alias "
            "must be available.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    sparse: Sparse = True,
    max_entries: Annotated[
        int | None,
        typer.Option(
            min=1, help="Maximum number of entries. Default: a million, or one per 64 bytes of the CARs."
        ),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(min=0, help="Maximum bytes of files. Default: 64 GiB, or 16 times the CARs' size."),
    ] = None,
    max_depth: Annotated[
        int | None, typer.Option(min=1, help="Maximum depth of nested folders. Default: 4096.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Restore files and folders from CARs alone; split files are joined. Run again to resume."""
    with output.errors_shown():
        wanted = [paths.from_display(one) for one in path or []]
        roots = [_binary(text) for text in root or []]
        allow_open_files(len(cars))
        limits = Limits(max_entries, max_bytes, max_depth)
        files = _files(cars, None if listing else to)
        cipher = _cipher(key) if key is not None else None
        with output.byte_progress() as bars:
            reading = bars.add_task("reading folders", total=None, visible=bars.console.is_terminal)
            seen = 0

            def walked(entries: int) -> None:
                nonlocal seen
                seen += entries
                bars.update(reading, description=f"reading folders: {counted(seen, 'entry', 'entries')}")

            with Extraction(
                files,
                wanted=wanted,
                raw_names=raw_names,
                roots=roots,
                complete=complete,
                limits=limits,
                walked=walked,
            ) as extraction:
                extraction.decrypt(cipher)
                extraction.select().check_complete()
                if listing:
                    bars.update(reading, visible=False)
                    bars.stop()
                    _list(extraction, as_json)
                    return
                task = bars.add_task("restoring", total=None, visible=False)

                def started(total: int) -> None:
                    bars.update(reading, visible=False)
                    bars.update(task, total=total, visible=bars.console.is_terminal)

                report = extraction.write(
                    os.fsencode(to),
                    replace=overwrite,
                    sparse=sparse,
                    threads=os.cpu_count() or 1,
                    started=started,
                    progress=lambda done: bars.advance(task, done),
                )
        show(report, os.fsencode(to), as_json)


def _files(cars: list[Path], to: str | None) -> list[CarFile]:
    """The CARs as they are opened; what comes through standard input is kept in a file meanwhile."""
    streams = [car for car in cars if given.is_standard_input(car)]
    if len({os.fsencode(car) for car in streams}) < len(streams):
        raise PtolemyError("standard input is given twice: it can be read once")
    return [given.open_seekable(car, to) if car in streams else _file(car) for car in cars]


def _file(car: Path) -> CarFile:
    """A file, or where there is none of this name, the built CAR that PROJECT/NUMBER names."""
    name = os.fsdecode(car)
    if os.path.lexists(car) or not _BUILT.fullmatch(name):
        return os.fsencode(car)
    from ptolemy_core.catalog import stored_cars
    from ptolemy_dagster.cli.stages import open_catalog

    project, _, number = name.rpartition("/")
    return stored_cars.by_number(open_catalog(), project, int(number)).open()


def _cipher(file: str) -> "ProjectCipher":
    """The ciphers of the project whose data keys are in a file."""
    from ptolemy_core.encryption.opening import open_cipher  # these take a while to load
    from ptolemy_core.keys import configured_keys
    from ptolemy_core.manifest.sealed import wrapped_keys_in

    try:
        return open_cipher(wrapped_keys_in(file), configured_keys())
    except OSError as error:
        raise SettingsError(f"--key {file} can't be read ({error.strerror})") from None


def _binary(text: str) -> bytes:
    try:
        return parse_text(text)
    except ValueError as error:
        raise PtolemyError(f"--root: {error}") from None


def show(report: Report, to: bytes, as_json: bool) -> None:
    """What a restore did.

    Raises:
        PtolemyError: something could not be restored; the message names it.
        typer.Exit: all was, but a CAR is damaged.
    """
    if as_json:
        done = RestoredFacts(
            to=paths.display(os.fsencode(urls.absolute(os.fsdecode(to)))),
            files=report.files,
            links=report.links,
            empty_folders=report.folders,
            already_there=report.kept,
            bytes_written=report.written_bytes,
            problems=[ProblemFacts(path=path, reason=reason) for path, reason in report.problems],
            more_problems=report.more_problems,
            warnings=report.warnings,
        )
        output.print_json(done)
    else:
        kept = f"; {counted(report.kept, 'entry was', 'entries were')} there already" if report.kept else ""
        output.say(
            f"{counted(report.files, 'file')} ({readable(report.written_bytes)}), {counted(report.links, 'link')}, "
            f"{counted(report.folders, 'folder')} written to {paths.display(to)}{kept}"
        )
    warn(report.warnings)
    if not report.ok:
        lines = [f"{path}: {reason}" if path else reason for path, reason in report.problems]
        if report.more_problems:
            lines.append(f"and {report.more_problems:,} more")
        raise PtolemyError("not everything could be restored:\n" + "\n".join(lines))
    if report.warnings:
        raise typer.Exit(output.DAMAGED)


def warn(warnings: list[str]) -> None:
    """Say what is wrong with CARs, though it kept nothing from being restored."""
    for warning in warnings:
        output.say(f"warning: {warning}")


def _list(extraction: Extraction, as_json: bool) -> None:
    problems: list[tuple[bytes, str]] = []
    more = 0
    rows: list[ListedFacts] = []

    def problem(path: TreePath, reason: str) -> None:
        nonlocal more
        if len(problems) < _PROBLEMS:
            problems.append((path.shown(), reason))
        else:
            more += 1

    def show_row(row: ListedFacts) -> None:
        if as_json:
            rows.append(row)
            return
        shown = {"directory": "dir", "symlink": "link"}.get(row["kind"], row["kind"])
        notes = (row.get("target"), row.get("shards"), row.get("problem"))
        said = "".join(f"  [{note}]" for note in notes if note)
        typer.echo(f"{shown:5} {row['size']:>15,}  {row['cid'] or '':59}  {row['path']}{said}")

    for entry, path, shard in extraction.entries(problem):
        if shard is None:
            size, target = extraction.real_size(entry), extraction.real_target(entry)
            row = ListedFacts(
                kind=entry.kind, size=size, cid=cid_text(entry.cid), path=paths.display(bytes(path))
            )
            if target is not None:
                row["target"] = paths.display(target)
            show_row(row)
    for split in extraction.survey().splits.values():
        numbers = sorted(split.shards)
        show_row(
            ListedFacts(
                kind="file",
                size=split.size,
                cid=None,
                path=paths.display(bytes(split.path)),
                shards=f"shards {numbers[0]} to {numbers[-1]}",
                problem=extraction.lacks(split),
            )
        )
    for unmet in extraction.unmet():
        problem(path_of(paths.names(unmet)), "isn't in these CARs")
    if as_json:
        output.print_json(rows)
    if extraction.has_hidden_names:
        output.say(
            "names in these CARs look encrypted: --key decrypts them, with a manifest or PROJECT.keys.json"
        )
    damage = extraction.damage()
    warn(damage)
    if problems:
        lines = [f"{paths.display(path)}: {reason}" if path else reason for path, reason in problems]
        if more:
            lines.append(f"and {more:,} more")
        raise PtolemyError("not everything could be read:\n" + "\n".join(lines))
    if damage:
        raise typer.Exit(output.DAMAGED)
