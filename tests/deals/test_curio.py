"""Deals with the stand-in for Curio: from proposal to complete, refusals with their codes, clocks and wallets."""

import time
from dataclasses import replace

import pytest

from ptolemy_core.deals import Conditions, DealState, Fault, Offline, Pull, Push, SourceUrl
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.curio_http import authorization
from ptolemy_core.errors import (
    DealError,
    DealRefusedError,
    ProposalError,
    ProviderAuthError,
    ProviderAwayError,
)
from ptolemy_core.keys.wallets import parse_wallet
from tests.deals.conftest import SIGNED, TOKEN, WALLETS, Make, Pieces, at, wait_for
from tests.provider import Allocation, ProviderServer

MINUTE = 1767225600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("kind", "header"),
    [
        (
            "secp256k1",
            "CurioAuth secp256k1:AVSptU7cufAHLnaPeeDsjyy7a94F:"
            "Aa6GTec4mmRmdLsP5gmFLE/5krPU0wq/2s9myYxHB8nUBFy4vOzZRvPSrmpd7DqhrXMOojDOzUmR2jlhDOswEKoB",
        ),
        (
            "delegated",
            "CurioAuth delegated:BAoaZC8OPDr1ReesvTiwclGzmQkU8Q==:"
            "A9mHOY/bGZrjS83KC/TbtyStXd/y2VJORM3XwoRY3e3MI8P+KZwQG2u5K40sUcScf76V9fL6pOAWO1U5tS/1CPYA",
        ),
    ],
)
@pytest.mark.parametrize("second", [0, 1, 59.9])
def test_a_request_is_signed_as_curio_signs_it(kind: str, header: str, second: float) -> None:
    wallet = parse_wallet(f"{kind}:{'01' * 32}", "a", "here")
    made = authorization(wallet, "mainnet", "POST", "/market/mk20/deal", MINUTE + second)
    assert made == header
    assert authorization(wallet, "mainnet", "POST", "/market/mk20/deal", MINUTE + 60) != header


@pytest.mark.parametrize("alias", ["main", "eth"])
def test_a_piece_is_fetched_checked_and_stored(
    engine: CurioEngine, make: Make, pieces: Pieces, alias: str
) -> None:
    proposal = make(alias=alias)
    assert engine.propose(proposal, sent=False).state == DealState.ACCEPTED
    seen = wait_for(engine, proposal, DealState.ACTIVE)
    assert seen == sorted(seen, key=list(DealState).index)
    assert pieces.ranges == [f"bytes=0-{proposal.piece.size - 1}"]


def test_a_fetch_that_breaks_resumes_where_it_ended(engine: CurioEngine, make: Make, pieces: Pieces) -> None:
    pieces.break_after = [1000]
    proposal = make(data=bytes(range(256)) * 16)
    engine.propose(proposal, sent=False)
    wait_for(engine, proposal, DealState.ACTIVE)
    assert pieces.ranges == ["bytes=0-4095", "bytes=1000-4095"]


def test_a_piece_with_other_bytes_fails_the_deal(engine: CurioEngine, make: Make, pieces: Pieces) -> None:
    proposal = make()
    pieces.data[proposal.piece.cid] = bytes(len(pieces.data[proposal.piece.cid]))
    engine.propose(proposal, sent=False)
    until = time.monotonic() + 20
    while engine.status(proposal).state != DealState.FAILED:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "commP mismatch" in engine.status(proposal).message


def test_a_provider_tells_what_it_takes(engine: CurioEngine, provider: ProviderServer) -> None:
    assert engine.accepts(at(provider), "main").sources == {Pull, Push, Offline}
    provider.market.sources = {"http": True, "offline": False}
    assert engine.accepts(at(provider), "main").sources == {Pull}
    provider.market.sources = {}
    assert engine.accepts(at(provider), "main").sources == set()
    provider.market.products = {"ddo_v1": False, "retrieval_v1": True}
    with pytest.raises(DealRefusedError, match="ddo_v1 turned off") as caught:
        engine.accepts(at(provider), "main")
    assert caught.value.fault == Fault.PRODUCT_OFF


def test_refusals_have_codes_and_the_providers_words(
    engine: CurioEngine, make: Make, provider: ProviderServer
) -> None:
    proposal = make()
    market = provider.market

    def refused() -> DealRefusedError:
        with pytest.raises(DealRefusedError) as caught:
            engine.propose(proposal, sent=False)
        assert SIGNED not in str(caught.value)
        return caught.value

    market.products = {"ddo_v1": False, "retrieval_v1": True}
    assert refused().fault == Fault.PRODUCT_OFF
    market.products = {"ddo_v1": True, "retrieval_v1": True}
    market.sources = {"http": False}
    assert refused().fault == Fault.SOURCE_UNSUPPORTED
    market.sources = {"http": True}
    market.providers = ("f02000",)
    error = refused()
    assert error.fault == Fault.PROVIDER_BAD_PROPOSAL
    assert "Provider not available in Curio cluster" in str(error)
    market.providers = ("f01000",)
    proposal = replace(proposal, conditions=Conditions(start_epoch=market.head + market.sealing - 1))
    assert "expected PoRep seal duration" in str(refused())
    proposal = replace(proposal, conditions=Conditions(start_epoch=market.head + market.sealing))
    engine.propose(proposal, sent=False)


def test_an_allocation_must_fit_the_piece(engine: CurioEngine, make: Make, provider: ProviderServer) -> None:
    small = replace(make(), conditions=Conditions(allocation_id=7))
    with pytest.raises(ProposalError, match="an allocation needs a piece of at least 1048576"):
        engine.propose(small, sent=False)
    proposal = replace(make(data=bytes(1 << 20)), conditions=Conditions(allocation_id=7))
    with pytest.raises(DealRefusedError, match="valid allocation ID"):
        engine.propose(proposal, sent=False)
    provider.market.allocations[7] = Allocation(
        str(proposal.client), "f01000", proposal.piece.cid_v1, proposal.piece.piece_size
    )
    engine.propose(proposal, sent=False)
    wait_for(engine, proposal, DealState.ACTIVE)


def test_the_client_must_be_the_wallets_address(engine: CurioEngine, make: Make) -> None:
    with pytest.raises(ProposalError, match="the wallet other has the address") as caught:
        engine.propose(replace(make(), wallet="other"), sent=False)
    assert caught.value.fault == Fault.BAD_CLIENT


@pytest.mark.parametrize(("offset", "said"), [(125, "125 s, behind"), (-3700, "3700 s, ahead of")])
def test_a_clock_that_is_off_is_told_from_an_unknown_wallet(
    engine: CurioEngine, make: Make, provider: ProviderServer, offset: float, said: str
) -> None:
    provider.clock_offset = offset
    for call in (lambda: engine.propose(make(), sent=False), lambda: engine.status(make())):
        with pytest.raises(ProviderAuthError, match="your clock is off by") as caught:
            call()
        assert caught.value.fault == Fault.CLOCK_OFF
        seconds = int(str(caught.value).split("off by ")[1].split(" ")[0])
        assert abs(seconds - abs(offset)) <= 2
        assert said.split(", ")[1] in str(caught.value)


def test_a_clock_that_is_off_by_less_than_a_minute_is_fine(
    engine: CurioEngine, make: Make, provider: ProviderServer
) -> None:
    provider.clock_offset = 55
    engine.propose(make(), sent=False)
    provider.clock_offset = -55
    engine.propose(make(), sent=False)


def test_a_wallet_that_is_not_allowed_is_told_from_an_unknown_deal(
    engine: CurioEngine, make: Make, provider: ProviderServer
) -> None:
    unknown = make()
    with pytest.raises(DealRefusedError, match="has no deal") as caught:
        engine.status(unknown)
    assert caught.value.fault == Fault.UNKNOWN_DEAL
    engine.propose(unknown, sent=False)
    other = replace(unknown, wallet="other", client=WALLETS["other"].address("mainnet"))
    with pytest.raises(DealRefusedError, match="no deal .* of this wallet"):
        engine.status(other)
    provider.market.denied.add(str(other.client))
    for call in (lambda: engine.status(other), lambda: engine.propose(other, sent=False)):
        with pytest.raises(ProviderAuthError, match="ask the provider to allow this address") as denied:
            call()
        assert denied.value.fault == Fault.NOT_ALLOWED


def test_a_provider_of_another_kind_is_named(engine: CurioEngine, make: Make, pieces: Pieces) -> None:
    proposal = make()
    url = pieces.pull(proposal.piece).urls[0].url.rpartition("/")[0]
    with pytest.raises(DealError) as caught:
        engine.propose(replace(proposal, provider=replace(proposal.provider, url=url)), sent=False)
    assert caught.value.fault in (Fault.UNEXPECTED_ANSWER, Fault.PROVIDER_ERROR)


def test_a_provider_that_is_not_there_certainly_got_nothing(engine: CurioEngine, make: Make) -> None:
    proposal = replace(make(), provider=replace(make().provider, url="http://127.0.0.1:1"))
    with pytest.raises(ProviderAwayError, match="can't be reached") as caught:
        engine.propose(proposal, sent=False)
    assert type(caught.value) is ProviderAwayError
    assert caught.value.fault == Fault.UNREACHABLE


def test_an_update_of_a_whole_deal_changes_nothing(engine: CurioEngine, make: Make) -> None:
    proposal = make()
    engine.propose(proposal, sent=False)
    engine.update(proposal)
    wait_for(engine, proposal, DealState.ACTIVE)


def test_an_offline_deal_waits_for_its_data(engine: CurioEngine, make: Make) -> None:
    proposal = make(Offline())
    engine.propose(proposal, sent=False)
    time.sleep(0.2)
    assert engine.status(proposal).state == DealState.ACCEPTED


def test_what_a_provider_quotes_is_shown_without_secrets(
    engine: CurioEngine, make: Make, pieces: Pieces
) -> None:
    proposal = make()
    source = pieces.pull(proposal.piece).urls[0]
    gone = SourceUrl(source.url.replace("?", "x?"), source.headers)
    proposal = replace(proposal, source=Pull((gone,)))
    engine.propose(proposal, sent=False)
    until = time.monotonic() + 20
    while (report := engine.status(proposal)).state != DealState.FAILED:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert "http status: 404" in report.message
    assert "x?..." in report.message
    assert SIGNED not in report.message
    assert TOKEN not in report.message


def test_the_engine_asks_for_no_deal_of_another_wallet(
    make: Make, provider: ProviderServer, engine: CurioEngine
) -> None:
    proposal = make()
    engine.propose(proposal, sent=False)
    provider.requests.clear()
    for ask in (engine.status, engine.update):
        with pytest.raises(ProposalError, match="the wallet eth has the address f4") as caught:
            ask(replace(proposal, wallet="eth"))
        assert caught.value.fault == Fault.BAD_CLIENT
    assert not provider.requests
