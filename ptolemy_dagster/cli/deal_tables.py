"""Tables that other tools write or read: allocations, pieces, and commands for Boost."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

import typer

from ptolemy_core.address import Network
from ptolemy_core.catalog import Catalog, cars, deals, projects, providers, roots
from ptolemy_core.catalog import allocations as table
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.dag import cid
from ptolemy_core.deals import Offline, Piece
from ptolemy_core.deals.manual import boost_deal, boost_import, pieces_csv, pieces_json
from ptolemy_core.errors import SettingsError, StageOrderError
from ptolemy_core.sizes import counted
from ptolemy_core.stages.deal_import import parse_allocations
from ptolemy_core.stages.deal_proposal import network_of, piece_of, question_of
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.given import open_given
from ptolemy_dagster.cli.stages import Json, Name, open_catalog

_LARGEST = 256 << 20
_FORMATS = ("csv", "json", "boost", "boost-import")
_UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")


def allocations(
    file: Annotated[str, typer.Argument(help="CSV with a header, or JSON; - is standard input.")],
    network: Annotated[str, typer.Option(help="mainnet or calibration.")] = "mainnet",
    as_json: Json = False,
) -> None:
    """Import allocations of data cap, for projects whose deals are verified.

    Columns: id, provider, data (the piece CID), size (padded bytes); client, term_min, term_max and expiration where
    they are known. A piece gets one by its piece CID and size at its provider.
    """
    with output.errors_shown():
        chosen: Network = network_of(network)
        if chosen != network:
            raise SettingsError(f"no network {network[:40]!r}: networks are mainnet and calibration")
        with open_given(file) as stream:
            data = stream.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise SettingsError(f"{file} is larger than {_LARGEST >> 20} MiB: import it in parts")
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SettingsError(f"{file} isn't text in UTF-8: give CSV or JSON") from None
        rows = parse_allocations(text, chosen)
        catalog = open_catalog()
        new = table.put(catalog, rows)
        free = len(table.free(catalog, chosen))
    if as_json:
        output.print_json({"read": len(rows), "new": new, "free": free})
    else:
        output.say(f"{counted(len(rows), 'allocation')} read, {new:,} new; free now: {free:,}")


def export(
    project: Name,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            help="csv or json: a table of pieces; boost: a command that proposes each manual deal; boost-import: a "
            "command for the provider to import its CAR.",
        ),
    ] = "csv",
    root: Annotated[
        bool, typer.Option("--root", help="The CAR of the data set's root, too, in a table of pieces.")
    ] = False,
    folder: Annotated[str, typer.Option(help="Where the provider has the CARs, for boost-import.")] = "",
) -> None:
    """Print a project's pieces for other tools, or commands that make its manual deals with Boost."""
    with output.errors_shown():
        catalog = open_catalog()
        projects.get(catalog, project)
        if form not in _FORMATS:
            raise SettingsError(f"no format {form[:40]!r}: formats are {', '.join(_FORMATS)}")
        if form in ("csv", "json"):
            pieces = _pieces(catalog, project, root)
            text = pieces_csv(pieces) if form == "csv" else pieces_json(pieces)
        else:
            make = _proposals if form == "boost" else partial(_imports, folder=folder)
            manual = [
                row
                for row in deals.select(catalog, project=project, live=True)
                if row.engine == deals.MANUAL and row.state != "active"
            ]
            text = "".join(f"{line}\n" for line in make(catalog, manual))
            if not manual:
                output.say(f"no manual deal of {project} waits: ptolemy deals make {project} makes them")
            elif not text and form == "boost":
                output.say(f"all manual deals of {project} are proposed")
    sys.stdout.write(text)


def _pieces(catalog: Catalog, project: str, root: bool) -> list[Piece]:
    found = [(row.piece_cid_v2, row.payload_cid) for row in cars.rows(catalog, project)]
    if root:
        newest = next(roots.rows(catalog, project), None)
        if newest is None:
            raise StageOrderError.needs(project, "has no root yet", "root")
        found.append((newest.piece_cid_v2, newest.root_cid))
    return [Piece(cid.to_text(piece), cid.to_text(payload)) for piece, payload in found]


def _proposals(catalog: Catalog, manual: Sequence[DealRow]) -> Iterator[str]:
    """A command for each deal that isn't proposed yet."""
    by_name = {row.name: row for row in providers.rows(catalog)}
    for row in manual:
        if row.state in ("planned", "sent"):
            yield boost_deal(replace(question_of(row, by_name[row.provider or ""]), source=Offline()))


def _imports(catalog: Catalog, manual: Sequence[DealRow], folder: str) -> Iterator[str]:
    """A command for each deal whose UUID at Boost was noted."""
    for row in manual:
        notes = [entry.message for entry in reversed(deals.history(catalog, row.id))]
        uuid = next((found[0] for note in notes if (found := _UUID.search(note))), None)
        if uuid is not None:
            yield boost_import(uuid, os.path.join(folder, f"{piece_of(row).cid_v1}.car"))
        else:
            output.say(
                f"deal {row.id}: its UUID isn't known; ptolemy deals set {row.id} --state accepted --note UUID, with "
                "the one that `boost offline-deal` printed"
            )
