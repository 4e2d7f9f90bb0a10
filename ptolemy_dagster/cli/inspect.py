"""`ptolemy inspect`: what a CAR of any maker is, without a project."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ptolemy_core.errors import SourceUnreadableError
from ptolemy_core.facts.fields import size_text
from ptolemy_core.facts.inspected import InspectedFacts
from ptolemy_core.reader.car import open_car
from ptolemy_core.reader.findings import CarError
from ptolemy_core.reader.hashes import cid_text
from ptolemy_core.reader.survey import Survey, survey_car
from ptolemy_core.sizes import counted
from ptolemy_dagster.cli import given, output

_SHOWN = 20


def inspect_command(
    cars: Annotated[list[Path], typer.Argument(metavar="CAR", help="CAR files of any tool.")],
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Accept CARs that link to blocks that aren't given."),
    ] = False,
    blocks: Annotated[
        bool, typer.Option("--blocks", help="List every block: its offset, its bytes and its CID.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check CARs of any tool: damage, missing blocks, all CIDs, and anything unusual.

    Exit code 1 if one is damaged, or blocks that it links to are missing.
    """
    with output.errors_shown():
        surveys = [_survey(path) for path in cars]
        there = frozenset[bytes]().union(*(one.cids for one in surveys))
        found = [
            InspectedFacts.of(given.shown(path), one, there) for path, one in zip(cars, surveys, strict=True)
        ]
        if as_json:
            output.print_facts(found)
        else:
            for path, facts in zip(cars, found, strict=True):
                _show(facts, first=facts is found[0])
                if blocks:
                    _list_blocks(path)
    if any(not one.sound or not (one.whole or partial) for one in found):
        raise typer.Exit(output.FAILED)


def _survey(path: Path) -> Survey:
    try:
        with output.byte_progress() as bars:
            task = bars.add_task("reading", total=os.stat(path).st_size, visible=bars.console.is_terminal)
            return survey_car(path, progress=lambda step: bars.advance(task, step))
    except OSError as error:
        raise SourceUnreadableError(f"{given.shown(path)} can't be read: {error.strerror}") from None


def _show(facts: InspectedFacts, *, first: bool) -> None:
    if not first:
        output.out.print()
    output.out.print(facts.path, style="bold", markup=False)
    for name, value in _lines(facts):
        output.out.print(f"  {name:<14}{value}", markup=False)


def _lines(facts: InspectedFacts) -> Iterator[tuple[str, str]]:
    container = "not a CAR" if facts.version is None else f"CARv{facts.version}"
    yield "container", f"{container}, {size_text(facts.size)}, {counted(facts.blocks, 'block')}"
    yield "sound", "yes: every block is what its CID says" if facts.sound else "no: see below"
    yield "whole", _whole(facts)
    for root in facts.roots[:_SHOWN]:
        yield "payload CID" if len(facts.roots) == 1 else "root", root
    if len(facts.roots) > _SHOWN:
        yield "root", f"and {len(facts.roots) - _SHOWN:,} more"
    if facts.piece_size is not None:
        yield "piece CID", facts.piece_cid or ""
        yield "piece CID v2", facts.piece_cid_v2 or ""
        yield "piece size", size_text(facts.piece_size)
    yield "sha256", facts.sha256 or ""
    yield "codecs", ", ".join(f"{name} {count:,}" for name, count in facts.codecs.items()) or "none"
    yield "hashes", ", ".join(f"{name} {count:,}" for name, count in facts.hashes.items()) or "none"
    if facts.profile:
        yield "form", "as Ptolemy builds it: UnixFS profile unixfs-v1-2025, one root, depth first"
    else:
        yield "form", f"not as Ptolemy builds it: {facts.profile_fault}"
    for text in facts.odd:
        yield "odd", text
    for finding in facts.findings[:_SHOWN]:
        yield "wrong", f"at byte {finding.offset:,}: {finding.code}: {finding.message}"
    if len(facts.findings) > _SHOWN:
        yield "wrong", f"and {len(facts.findings) - _SHOWN} more: --json lists them"


def _whole(facts: InspectedFacts) -> str:
    if facts.whole:
        return "yes: every block that it links to is there"
    return "no: it links to blocks that aren't there" if facts.missing else "no: it can't be read to its end"


def _list_blocks(path: Path) -> None:
    try:
        with open_car(path) as car:
            for section in car.sections():
                typer.echo(f"  {section.offset:>14} {section.length:>10} {cid_text(section.cid)}")
    except CarError:
        return  # it is in the findings
