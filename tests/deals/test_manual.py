"""Deals that an operator makes: commands and tables for other tools, states that are set by hand."""

import csv
import io
import json
import shlex
from dataclasses import replace

import pytest

from ptolemy_core.deals import Conditions, DealState, Offline, Piece
from ptolemy_core.deals.manual import (
    COLUMNS,
    ManualEngine,
    boost_deal,
    boost_import,
    pieces_csv,
    pieces_json,
    set_state,
)
from ptolemy_core.errors import DealError, ProposalError
from tests.deals.test_values import GOOD, PIECE

ROOT = "bafybeihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
OFFLINE = replace(GOOD, piece=Piece(PIECE.cid, ROOT), source=Offline())


def test_a_manual_deal_is_checked_and_left_to_the_operator() -> None:
    engine = ManualEngine()
    assert engine.propose(OFFLINE, sent=False).state == DealState.SENT
    assert engine.status(OFFLINE).state == DealState.SENT
    engine.propose(replace(OFFLINE, provider=replace(OFFLINE.provider, url="")), sent=False)
    with pytest.raises(ProposalError, match="a deal lasts"):
        engine.propose(replace(OFFLINE, conditions=Conditions(1)), sent=False)


def test_the_command_for_boost_has_what_it_asks_for() -> None:
    proposal = replace(OFFLINE, conditions=Conditions(600_000, start_epoch=7, allocation_id=3))
    assert shlex.split(boost_deal(proposal)) == [
        "boost",
        "offline-deal",
        "--provider=f01000",
        f"--commp={PIECE.cid_v1}",
        f"--piece-size={PIECE.piece_size}",
        f"--payload-cid={ROOT}",
        "--duration=600000",
        "--verified=true",
        f"--wallet={GOOD.client}",
        "--start-epoch=7",
    ]
    assert "--verified=false" in boost_deal(OFFLINE)
    with pytest.raises(ProposalError, match="needs the payload CID"):
        boost_deal(replace(OFFLINE, piece=PIECE))


def test_the_command_for_an_import_survives_any_path() -> None:
    path = "/srv/it's a; $(file).car"
    assert shlex.split(boost_import("a-uuid", path))[-2:] == ["a-uuid", path]


def test_tables_of_pieces_have_the_same_rows_in_both_forms() -> None:
    pieces = [Piece(PIECE.cid, ROOT), PIECE]
    rows = list(csv.DictReader(io.StringIO(pieces_csv(pieces), newline="")))
    values = json.loads(pieces_json(pieces))
    assert [{name: str(value) for name, value in row.items()} for row in values] == rows
    assert tuple(rows[0]) == COLUMNS
    assert values[0]["piece_size"] == PIECE.piece_size
    assert values[0]["file_name"] == f"{PIECE.cid_v1}.car"


def test_an_operator_can_set_a_state_forward_only() -> None:
    assert set_state(DealState.SENT, DealState.ACTIVE) == DealState.ACTIVE
    assert set_state(DealState.ACTIVE, DealState.EXPIRED) == DealState.EXPIRED
    with pytest.raises(
        DealError, match="a deal that is active can't become sealing: it can become expired, terminated"
    ):
        set_state(DealState.ACTIVE, DealState.SEALING)
    with pytest.raises(DealError, match="it is over; make a new deal"):
        set_state(DealState.FAILED, DealState.ACTIVE)
