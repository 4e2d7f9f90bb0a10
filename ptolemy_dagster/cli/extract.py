"""`ptolemy extract`: files out of CARs, without a project, a catalog or Dagster."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ptolemy_core.errors import PtolemyError
from ptolemy_core.open_files import allow_open_files
from ptolemy_core.reader.hashes import cid_text, parse_text
from ptolemy_core.restore import Extraction, Report
from ptolemy_core.sizes import readable
from ptolemy_core.tree import paths
from ptolemy_dagster.cli import output

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write over files that are there and differ.")]


def extract_command(
    cars: Annotated[list[Path], typer.Argument(help="CAR files of any writer, version 1 or 2.")],
    to: Annotated[
        Path, typer.Option("--to", help="Folder to write to; it is made if it isn't there.")
    ] = Path("."),
    path: Annotated[
        list[str] | None, typer.Option("--path", "-p", help="Only this file or folder; may be repeated.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List what is in the CARs, write nothing.")] = False,
    raw_names: Annotated[
        bool,
        typer.Option("--raw-names", help="Keep names such as x.ptolemy0: of CARs that Ptolemy didn't build."),
    ] = False,
    root: Annotated[
        list[str] | None, typer.Option("--root", help="CID to restore instead of the CARs' own roots.")
    ] = None,
    complete: Annotated[
        bool, typer.Option("--complete", help="These are all CARs there are: no shard follows those in them.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Restore files and folders from CARs alone; split files are put together. Run again to go on."""
    with output.errors_shown():
        wanted = [paths.from_display(one) for one in path or []]
        names = [os.fsencode(car) for car in cars]
        roots = [_binary(text) for text in root or []]
        allow_open_files(len(names))
        with Extraction(
            names, wanted=wanted, raw_names=raw_names, roots=roots, complete=complete
        ) as extraction:
            if listing:
                _list(extraction, as_json)
                return
            with output.byte_progress() as bars:
                task = bars.add_task("restoring", total=None, visible=bars.console.is_terminal)
                report = extraction.write(
                    os.fsencode(to),
                    replace=overwrite,
                    threads=os.cpu_count() or 1,
                    started=lambda total: bars.update(task, total=total),
                    progress=lambda done: bars.advance(task, done),
                )
        show(report, os.fsencode(to), as_json)


def _binary(text: str) -> bytes:
    try:
        return parse_text(text)
    except ValueError as error:
        raise PtolemyError(f"--root: {error}") from None


def show(report: Report, to: bytes, as_json: bool) -> None:
    """What a restore did.

    Raises:
        PtolemyError: something could not be restored; the message names it.
    """
    if as_json:
        problems = [{"path": path, "reason": reason} for path, reason in report.problems]
        output.print_json(
            {
                "to": paths.display(os.path.abspath(to)),
                "files": report.files,
                "links": report.links,
                "empty_folders": report.folders,
                "already_there": report.kept,
                "bytes_written": report.written_bytes,
                "problems": problems,
                "more_problems": report.more_problems,
            }
        )
    else:
        kept = f"; {report.kept:,} entries were there already" if report.kept else ""
        output.say(
            f"{report.files:,} files ({readable(report.written_bytes)}), {report.links:,} links, "
            f"{report.folders:,} folders written to {paths.display(to)}{kept}"
        )
    if not report.ok:
        lines = [f"{path}: {reason}" if path else reason for path, reason in report.problems]
        if report.more_problems:
            lines.append(f"and {report.more_problems:,} more")
        raise PtolemyError("not everything could be restored:\n" + "\n".join(lines))


def _list(extraction: Extraction, as_json: bool) -> None:
    problems: list[tuple[bytes, str]] = []
    rows: list[dict[str, Any]] = []

    def row(kind: str, size: int, cid: bytes | None, names: tuple[bytes, ...], **more: object) -> None:
        path = paths.display(b"\0".join(names))
        if as_json:
            rows.append(
                {"kind": kind, "size": size, "cid": cid_text(cid) if cid else None, "path": path} | more
            )
            return
        shown = {"directory": "dir", "symlink": "link"}.get(kind, kind)
        said = "".join(f"  [{value}]" for value in more.values() if value)
        typer.echo(f"{shown:5} {size:>15,}  {cid_text(cid) if cid else '':59}  {path}{said}")

    for entry, names, shard in extraction.entries(lambda path, reason: problems.append((path, reason))):
        if shard is None:
            link = {"target": paths.display(entry.target)} if entry.target is not None else {}
            row(entry.kind, entry.size, entry.cid, names, **link)
    for split in extraction.survey().splits.values():
        numbers = sorted(split.shards)
        row(
            "file",
            split.size,
            None,
            split.names,
            shards=f"shards {numbers[0]} to {numbers[-1]}",
            problem=extraction.lacks(split),
        )
    problems += [(path, "isn't in these CARs") for path in extraction.unmet()]
    if as_json:
        output.print_json(rows)
    if problems:
        lines = [f"{paths.display(path)}: {reason}" if path else reason for path, reason in problems]
        raise PtolemyError("not everything could be read:\n" + "\n".join(lines[:100]))
