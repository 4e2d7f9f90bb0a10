"""`ptolemy prep`: from a folder to CARs and a manifest in one command, with the engine alone."""

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ptolemy_core.facts.cars import CarFacts, RootFacts
from ptolemy_core.facts.files import NotStoredFacts
from ptolemy_core.facts.projects import ManifestFacts, PreparedFacts
from ptolemy_core.stages.prepare import Preparation, Prepared, Step, prepare, steps_of
from ptolemy_core.status.rate import rate
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.car_table import CAR_COLUMNS, car_cells, root_cells
from ptolemy_dagster.cli.options import preparing
from ptolemy_dagster.cli.stage_bars import Amount, StageBars


@preparing
def prep(
    folder: Annotated[Path, typer.Argument(help="The folder to store.")],
    out: Annotated[Path, typer.Argument(help="Folder for the CARs and the manifest.")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="The data set's name in the manifest; default: the folder's.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", "-f", help="Format of the manifest: csv, jsonl or parquet.")
    ] = "csv",
    url: Annotated[
        str | None, typer.Option("--url", help="Where CARs can be fetched: https://…/{piece_cid}.car")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Read the CARs back.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    **settings: Any,
) -> None:
    """Make verified CARs and a manifest from a folder, without a project. Run again to resume.

    A later run adds CARs of what is new or has changed since.
    """
    if name is not None:
        settings["name"] = name
    names = steps_of(verify)
    with output.errors_shown(), StageBars(names) as bars:
        bars_or_none = None if as_json else bars
        made = prepare(
            str(folder),
            str(out),
            Preparation(settings, form=form, url=url, verify=verify, started=_shown(bars_or_none)),
        )
        if bars_or_none is not None:
            bars.finish()
    facts = _facts(made)
    if as_json:
        output.print_facts(facts)
    else:
        _show(facts, str(made.not_stored))


def _shown(bars: StageBars | None) -> Callable[[Step], Callable[[int], None]]:
    """Shows each step in these bars."""

    def started(step: Step) -> Callable[[int], None]:
        began, done = time.monotonic(), 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            if bars is not None:
                speed = rate(done, time.monotonic() - began)
                bars.show(step.name, Amount(done, step.total, speed, step.total is not None))

        advance(0)
        return advance

    return started


def _facts(made: Prepared) -> PreparedFacts:
    return PreparedFacts(
        cars=[CarFacts.of(row) for row in made.cars],
        built=made.built,
        root=RootFacts.of(made.root),
        manifest=ManifestFacts(**asdict(made.manifest)),
        not_stored=NotStoredFacts.of(made.not_stored),
    )


def _show(facts: PreparedFacts, not_stored: str) -> None:
    rows = [*map(car_cells, facts.cars), root_cells(facts.root)]
    output.print_table(CAR_COLUMNS, rows)
    for path in (facts.manifest.manifest, facts.manifest.summary, facts.manifest.table):
        typer.echo(path)
    if not_stored:
        output.say(f"warning: {not_stored}")
    if not facts.built:
        count = len(facts.cars)
        known = "the only CAR was" if count == 1 else f"all {count:,} CARs were"
        output.say(f"nothing was new: {known} built before")
