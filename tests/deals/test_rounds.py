"""Rounds: what faults of providers, clocks and people do to deals, and what they don't."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ptolemy_core import epochs
from ptolemy_core.catalog import deals, providers
from ptolemy_core.catalog.allocations import AllocationRow, put
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.deals.faults import Fault
from ptolemy_core.errors import DealError, ProposalError, SettingsError, StateError
from ptolemy_core.stages import deal
from ptolemy_core.stages.deal import Chosen
from ptolemy_core.stages.deal_import import parse_allocations
from ptolemy_core.stages.deal_plan import BY_USER, GAVE_UP
from ptolemy_core.stages.replication import replication
from tests.deals.project import SECRET, WALLETS, Dealing, dealing
from tests.provider import Allocation
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]

ONE_PIECE = {b"f%d" % k: bytes([k]) * PROFILE.size_unit for k in range(3)}


@pytest.fixture
def one(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealing]:
    """One piece that two of three providers are to get."""
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    assert len(stage.run(ONE_PIECE)) == 1
    with dealing(stage, tmp_path, ("anna", "bert", "cleo")) as made:
        yield made


def at(one: Dealing, name: str) -> list[str]:
    return [row.state for row in one.rows() if row.provider == name]


def test_an_answer_that_is_lost_makes_no_second_deal(one: Dealing) -> None:
    for fault in ("500-after", "no-answer-after", "cut-after"):
        one.servers["anna"].faults.add("POST /deal", fault)
        one.servers["anna"].faults.add("GET /status/{id}", "503")
        one.plan()
        one.round()
        assert at(one, "anna") == ["sent"]
        one.now += 4000
        one.all_active()
        assert len(one.deals_at("anna")) == 1
        return


def test_a_deal_that_is_cancelled_before_its_turn_is_never_sent(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.plan()

    def cancels(_: object) -> None:
        for row in one.rows():
            if row.provider == "anna" and row.live:
                with suppress(DealError):  # the thread of another provider was quicker
                    deal.cancel(one.catalog, row)

    monkeypatch.setattr("ptolemy_core.stages.deal_exchange.Exchange._wait", cancels)
    one.round()
    assert at(one, "anna") == ["cancelled"]
    assert one.deals_at("anna") == []


def test_what_was_sent_is_not_rejected_for_a_fault_of_ours(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.servers["anna"].faults.add("POST /deal", "500-after")
    one.servers["anna"].faults.add("GET /status/{id}", "503")
    one.plan()
    one.round()
    assert at(one, "anna") == ["sent"]
    one.now += 4000

    def refuse(*_: object) -> None:
        raise ProposalError("another wallet has this alias now", Fault.BAD_CLIENT)

    with monkeypatch.context() as patch:
        patch.setattr("ptolemy_core.stages.deal_exchange.proposal_of", refuse)
        one.round()
    assert at(one, "anna") == ["sent"]
    one.now += 4000
    one.all_active()
    assert len(one.deals_at("anna")) == 1


def test_a_provider_has_one_name(one: Dealing) -> None:
    row = ProviderRow("anna2", "curio", "mainnet", "f01000", "https://p.example")
    with pytest.raises(SettingsError, match="f01000 is provider 'anna' already: .* use 'anna'"):
        providers.add(one.catalog, row)
    assert [each.name for each in providers.rows(one.catalog)] == ["anna", "bert", "cleo"]


def test_a_refusal_is_recorded_with_its_code_and_the_next_provider_gets_the_piece(one: Dealing) -> None:
    one.servers["anna"].market.products["ddo_v1"] = False
    one.plan()
    one.round()
    (row,) = [row for row in one.rows() if row.provider == "anna"]
    assert (row.state, row.live, row.fault) == ("rejected", False, "product-off")
    assert [each.provider.name for each in one.plan().assignments] == ["cleo"]
    one.until(lambda: replication(one.catalog, one.name).replicated == 1)


def test_a_deal_that_fails_three_times_is_made_with_the_next_provider(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.settings(replicas=1)
    monkeypatch.setattr(one.servers["anna"].worker, "add", lambda _: None)
    for attempt in (1, 2, 3):
        assert [(a.provider.name, a.attempt) for a in one.plan().assignments] == [("anna", attempt)]
        one.round()
        one.servers["anna"].store.set(one.deals_at("anna")[-1].id, "failed", "no space")
        one.until(lambda n=attempt: at(one, "anna").count("failed") == n)  # type: ignore[misc]
        assert not one.plan().assignments or attempt == 3
        one.now += 4000
    assert at(one, "bert") == ["planned"]
    assert {row.message for row in one.rows() if row.state == "failed"} == {"no space"}


def test_a_provider_that_is_down_changes_no_state_and_is_left_alone_for_a_while(one: Dealing) -> None:
    one.plan()
    one.round()
    before = at(one, "anna")
    one.servers["anna"].__exit__()
    result = one.round()
    assert "its deals stay as they are" in result.away["anna"]
    assert at(one, "anna") == before
    assert providers.get(one.catalog, "anna").away_since is not None
    requests = Counter(one.servers["anna"].requests)
    one.round()
    assert Counter(one.servers["anna"].requests) == requests
    one.until(lambda: at(one, "bert") == ["active"])


def test_what_was_never_sent_to_a_provider_that_is_away_goes_to_the_next_one(one: Dealing) -> None:
    one.plan()
    providers.set_away(one.catalog, "anna", one.now + 60, "no connection")
    one.round()
    assert at(one, "anna") == ["planned"]
    one.now += 4000
    one.servers["anna"].__exit__()
    one.round()
    (row,) = [row for row in one.rows() if row.provider == "anna"]
    assert (row.state, row.fault) == ("cancelled", GAVE_UP)
    assert "cleo" in [each.provider.name for each in one.plan().assignments]


def test_a_provider_that_answers_again_is_not_away_any_more(one: Dealing) -> None:
    one.servers["anna"].faults.add("POST /deal", "429")
    one.plan()
    one.round()
    assert providers.get(one.catalog, "anna").away_until == pytest.approx(one.now + 7)
    one.now += 8
    one.round()
    assert providers.get(one.catalog, "anna").away_since is None
    assert at(one, "anna") != ["sent"]


def test_a_clock_that_is_off_is_told_and_fails_no_deal(one: Dealing) -> None:
    one.servers["anna"].clock_offset = 300
    one.plan()
    result = one.round()
    assert "your clock is off by" in result.away["anna"]
    assert at(one, "anna") == ["sent"]
    one.servers["anna"].clock_offset = 0
    one.now += 100
    one.all_active()


def test_a_round_asks_at_most_once_for_each_deal(one: Dealing) -> None:
    one.plan()
    one.round()
    for server in one.servers.values():
        server.requests.clear()
    one.round()
    assert sum(len(server.requests) for server in one.servers.values()) == 2


def test_requests_keep_to_the_rate_of_the_provider(one: Dealing) -> None:
    providers.add(one.catalog, replace(providers.get(one.catalog, "anna"), rate=0.5))
    one.scene.run({b"more%d" % k: bytes([k, 1]) * 512 for k in range(12)})
    one.plan()
    one.round()
    sent = len([row for row in one.rows() if row.provider == "anna"])
    assert sent > 1
    assert sum(one.paused) > (sent - 2) * 2


def test_a_cancelled_deal_stays_cancelled_and_is_made_again_after_retry(one: Dealing) -> None:
    one.plan()
    (row,) = [row for row in one.rows() if row.provider == "anna"]
    deal.cancel(one.catalog, row)
    with pytest.raises(DealError, match="can't be cancelled"):
        deal.cancel(one.catalog, next(r for r in one.rows() if r.provider == "anna"))
    with pytest.raises(DealError, match="went on meanwhile"):
        deal.cancel(one.catalog, row)
    one.round()
    assert not one.deals_at("anna")
    assert [each.provider.name for each in one.plan().assignments] == ["cleo"]
    (row,) = [row for row in one.rows() if row.provider == "anna"]
    assert row.fault == BY_USER
    assert deal.retry(one.catalog, [row]) == (1, 0)
    one.settings(replicas=3)
    assert [(a.provider.name, a.attempt) for a in one.plan().assignments] == [("anna", 1)]


def test_an_active_deal_can_not_be_cancelled_and_expires_by_itself(one: Dealing) -> None:
    one.plan()
    one.all_active()
    row = one.rows()[0]
    with pytest.raises(DealError, match="keeps the piece until the deal ends"):
        deal.cancel(one.catalog, row)
    assert row.end_epoch is not None
    assert row.end_epoch <= epochs.epoch_of(one.now, "mainnet") + 540 * epochs.DAY
    assert not deal.expiring(one.catalog, one.name, 500, lambda: one.now)
    assert len(deal.expiring(one.catalog, one.name, 541, lambda: one.now)) == 2
    one.now += 541 * 86400
    one.round()
    assert set(one.states()) == {"expired"}
    assert [car.delivered_at for car in one.scene.cars()] == [None]


def test_a_deal_that_the_provider_reports_as_failed_later_is_terminated_and_no_replica(one: Dealing) -> None:
    one.plan()
    one.all_active()
    assert one.scene.cars()[0].delivered_at is not None
    one.servers["anna"].store.set(one.deals_at("anna")[0].id, "failed", "sector lost")
    one.round()
    assert at(one, "anna") == ["terminated"]
    assert one.scene.cars()[0].delivered_at is None


def test_only_chosen_pieces_and_providers_are_planned(one: Dealing) -> None:
    plan = one.plan(chosen=Chosen(providers=("cleo",)))
    assert [each.provider.name for each in plan.assignments] == ["cleo"]
    assert plan.short[0].missing == 1


def test_a_start_delay_becomes_an_epoch_when_the_deal_is_sent(one: Dealing) -> None:
    one.settings(deal_start_hours=48)
    for server in one.servers.values():
        server.market.head = epochs.epoch_of(one.now, "mainnet")
    one.plan()
    assert {row.start_epoch for row in one.rows()} == {None}
    one.round()
    expected = epochs.epoch_of(one.now, "mainnet") + 2 * epochs.DAY
    assert {row.start_epoch for row in one.rows()} == {expected}
    assert one.deals_at("anna")[0].body["products"]["ddo_v1"]["start_epoch"] == expected


def test_pieces_are_pushed_where_the_project_says_so(one: Dealing) -> None:
    one.settings(deal_transfer="push")
    one.plan()
    one.all_active()
    assert one.deals_at("anna")[0].body["data"]["source_http_put"] == {}


def test_manual_deals_are_only_recorded_and_set_by_hand(one: Dealing) -> None:
    providers.add(one.catalog, ProviderRow("dora", "manual", "mainnet", "f0777"))
    one.settings(providers=["dora"], replicas=1)
    one.plan()
    one.round()
    one.round()
    (row,) = one.rows()
    assert row.state == "sent"
    with pytest.raises(SettingsError, match="no state 'done'"):
        deal.set_by_hand(one.catalog, row, "done")
    row = deal.set_by_hand(one.catalog, row, "active", "uuid 71")
    assert one.scene.cars()[0].delivered_to == "dora"
    with pytest.raises(DealError, match="can't become sealing"):
        deal.set_by_hand(one.catalog, row, "sealing")
    (first,) = [each for each in deals.history(one.catalog, row.id) if each.state == "active"]
    assert first.message == "uuid 71"


def test_settings_that_are_missing_are_named(one: Dealing) -> None:
    one.settings(providers=[])
    with pytest.raises(SettingsError, match="--providers NAME"):
        one.plan()
    one.settings(providers=["nobody"])
    with pytest.raises(Exception, match="no provider 'nobody'"):
        one.plan()


def test_verified_deals_use_imported_allocations(one: Dealing) -> None:
    from ptolemy_core.dag import cid

    client = str(WALLETS.find("main").address("mainnet"))
    car = one.scene.cars()[0]
    one.settings(deal_verified=True, replicas=1)
    assert not one.plan().assignments  # pieces below 1 MiB have none
    piece = cid.to_text(car.piece_cid_v1)
    rows = parse_allocations(
        f"Allocation-ID,client,provider,data,size,TermMin\n9,{client},1000,{piece},{car.piece_size},5\n",
        "mainnet",
    )
    assert rows == [
        AllocationRow("mainnet", 9, "f01000", car.piece_cid_v1, car.piece_size, client, 5, None, None)
    ]
    assert put(one.catalog, rows) == 1
    assert put(one.catalog, rows) == 0
    assert Allocation(client, "f01000", piece, car.piece_size).provider == rows[0].provider


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "list of objects"),
        ("[", "look like JSON"),
        ("id,provider,size\n1,f01,5\n", "no column for piece"),
        ("id,provider,data,size\n1,f01,,5\n", "allocation 1 has no piece"),
        ("1,f01,baga,5\n", "first line of the allocations names no column for id, provider, piece, size"),
        ("", "first line of the allocations"),
        ("id,provider,data,size\n-1,f01,baga,5\n", "id of allocation 1"),
        ("id,provider,data,size\n1,f01,baga,5\n", "no piece CID"),
        ("id,provider,data,size\n1,t01,baga,5\n", "calibration"),
    ],
)
def test_allocations_that_can_not_be_read_are_refused(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        parse_allocations(text, "mainnet")


def test_two_live_deals_of_a_piece_with_a_provider_are_refused_by_the_database(one: Dealing) -> None:
    one.plan()
    row = one.rows()[0]
    with pytest.raises((StateError, Exception), match=r"UNIQUE|unique"):
        deals.add(one.catalog, [replace(row, id="0" * 26)])
