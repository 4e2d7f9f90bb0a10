"""`ptolemy cid` and `ptolemy commp`: CIDs of any path, without a project."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ptolemy_core import commp
from ptolemy_core.car.root import root_cid
from ptolemy_core.dag import cid
from ptolemy_core.dag.stream import stream_cid
from ptolemy_core.errors import SourceError, SourceUnreadableError
from ptolemy_core.facts.plain import PathCid, PieceFacts
from ptolemy_dagster.cli import given, output

_READ = 8 << 20


def cid_command(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Files, folders or links (not followed); - for a file's bytes on standard input."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute CIDs of files and folders (UnixFS profile unixfs-v1-2025)."""
    rows: list[PathCid] = []
    with output.errors_shown(), output.byte_progress() as bars:
        for path in paths:
            task = bars.add_task("hashing", total=None, visible=bars.console.is_terminal)
            if given.is_standard_input(path):
                value = _of_stream(path)
            else:
                value = root_cid(
                    os.fsencode(path),
                    started=lambda total, task=task: bars.update(task, total=total),  # type: ignore[misc]
                    progress=lambda done, task=task: bars.advance(task, done),  # type: ignore[misc]
                )
            bars.remove_task(task)
            rows.append({"path": given.shown(path), "cid": cid.to_text(value)})
    if as_json:
        output.print_json(rows)
    else:
        for row in rows:
            typer.echo(row["cid"] if len(rows) == 1 else f"{row['cid']}  {row['path']}")


def _of_stream(path: Path) -> bytes:
    with given.open_given(path) as stream:
        try:
            return stream_cid(stream.read)[0]
        except OSError as error:
            raise SourceUnreadableError(f"{path} can't be read: {error.strerror}") from error


def commp_command(
    files: Annotated[list[Path], typer.Argument(help="Files, such as CARs; - for standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compute piece CIDs (v1 and v2) and padded piece sizes of files."""
    rows: list[PieceFacts] = []
    with output.errors_shown(), output.byte_progress() as bars:
        for path in files:
            task = bars.add_task("hashing", total=None, visible=bars.console.is_terminal)
            piece = commp.PieceCommitment()
            try:
                with given.open_given(path) as file:
                    bars.update(task, total=os.fstat(file.fileno()).st_size or None)
                    buffer = bytearray(_READ)
                    while got := file.readinto(buffer):  # type: ignore[attr-defined]
                        piece.update(memoryview(buffer)[:got])
                        bars.advance(task, got)
            except OSError as error:
                raise SourceUnreadableError(f"{path} can't be read: {error.strerror}") from error
            except ValueError as error:
                raise SourceError(f"{path}: {error}") from error
            bars.remove_task(task)
            root = piece.digest()
            rows.append(
                {
                    "path": given.shown(path),
                    "size": piece.size,
                    "piece_cid": cid.to_text(commp.piece_cid_v1(root)),
                    "piece_cid_v2": cid.to_text(commp.piece_cid_v2(root, piece.size)),
                    "piece_size": piece.piece_size,
                }
            )
    if as_json:
        output.print_json(rows)
        return
    for row in rows:
        typer.echo("\n".join(f"{_label(name)}: {value}" for name, value in row.items()))


def _label(name: str) -> str:
    return name.replace("_", " ").replace("cid", "CID")
