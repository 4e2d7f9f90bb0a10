"""Tables that other tools write or read: allocations, pieces, and commands for Boost."""

import sys
from typing import Annotated

import typer

from ptolemy_core.address import Network
from ptolemy_core.catalog import allocations as table
from ptolemy_core.catalog import cars, deals, projects, providers
from ptolemy_core.dag import cid
from ptolemy_core.deals import Piece
from ptolemy_core.deals.manual import boost_deal, pieces_csv, pieces_json
from ptolemy_core.errors import SettingsError
from ptolemy_core.sizes import counted
from ptolemy_core.stages.deal_import import parse_allocations
from ptolemy_core.stages.deal_proposal import network_of, proposal_of
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.given import open_given
from ptolemy_dagster.cli.stages import Json, Name, open_catalog

_LARGEST = 256 << 20


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
            data = stream.read(_LARGEST)
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
        str, typer.Option("--format", help="csv, json, or boost: a command for each deal.")
    ] = "csv",
) -> None:
    """Print a project's pieces for other tools, or commands that propose its manual deals with Boost."""
    with output.errors_shown():
        catalog = open_catalog()
        settings = projects.get(catalog, project)
        if form == "boost":
            waiting = deals.select(catalog, project=project, live=True)
            by_name = {row.name: row for row in providers.rows(catalog)}
            text = "".join(
                boost_deal(proposal_of(row, by_name[row.provider or ""], settings)) + "\n"
                for row in waiting
                if row.engine == deals.MANUAL and row.state in ("planned", "sent")
            )
        elif form in ("csv", "json"):
            pieces = [
                Piece(cid.to_text(row.piece_cid_v2), cid.to_text(row.payload_cid))
                for row in cars.rows(catalog, project)
            ]
            text = pieces_csv(pieces) if form == "csv" else pieces_json(pieces)
        else:
            raise SettingsError(f"no format {form[:40]!r}: formats are csv, json and boost")
    sys.stdout.write(text)
