"""Each fault that a provider can have: no deal is lost, none is made twice, and an outage is no failure."""

import random
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ptolemy_core.deals import DealState, Fault, Proposal, advance
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.deals.curio_http import CurioClient
from ptolemy_core.deals.http_transport import HttpTransport
from ptolemy_core.deals.transport import Answer, NoAnswerError, NotSentError, Request
from ptolemy_core.errors import (
    DealError,
    DealRefusedError,
    DealUnknownError,
    ProviderAuthError,
    ProviderAwayError,
)
from tests.deals.conftest import WALLETS, Make, at, wait_for
from tests.provider import ProviderServer
from tests.provider.faults import FAULTS

STATUS = "GET /status/{id}"


@pytest.mark.parametrize("fault", ["500-after", "503-after", "no-answer-after", "cut-after"])
def test_a_deal_that_arrived_is_found_although_its_answer_was_lost(
    engine: CurioEngine, make: Make, provider: ProviderServer, fault: str
) -> None:
    provider.faults.add("POST /deal", fault)
    proposal = make()
    assert engine.propose(proposal, sent=False).state in (
        DealState.ACCEPTED,
        DealState.TRANSFERRING,
        DealState.SEALING,
    )
    assert provider.requests.count("POST /deal") == 1
    wait_for(engine, proposal, DealState.ACTIVE)


def test_a_deal_that_arrived_is_found_after_a_time_out(make: Make, provider: ProviderServer) -> None:
    engine = CurioEngine(WALLETS.__getitem__, seconds=0.3)
    provider.slow_seconds = 1.0
    provider.faults.add("POST /deal", "slow")
    proposal = make()
    engine.propose(proposal, sent=False)
    assert [deal.id for deal in provider.store.deals()] == [proposal.id]


@pytest.mark.parametrize("fault", ["500", "503", "no-answer"])
def test_a_deal_that_may_have_arrived_is_asked_for_before_it_is_sent_again(
    engine: CurioEngine, make: Make, provider: ProviderServer, fault: str
) -> None:
    provider.faults.add("POST /deal", fault)
    proposal = make()
    with pytest.raises(DealUnknownError, match="ask for the status first"):
        engine.propose(proposal, sent=False)
    assert provider.requests[-1] == STATUS
    provider.requests.clear()
    assert engine.propose(proposal, sent=True).state == DealState.ACCEPTED
    assert provider.requests[0] == STATUS
    wait_for(engine, proposal, DealState.ACTIVE)


def test_an_id_that_was_used_is_the_same_deal(
    engine: CurioEngine, make: Make, provider: ProviderServer
) -> None:
    proposal = make()
    for sent in (False, False, True):
        engine.propose(proposal, sent=sent)
    assert provider.requests.count("POST /deal") == 2
    assert len(provider.store.deals()) == 1


def test_an_overloaded_provider_says_how_long_to_wait(
    engine: CurioEngine, make: Make, provider: ProviderServer
) -> None:
    proposal = make()
    provider.faults.add("POST /deal", "429")
    with pytest.raises(ProviderAwayError, match="overloaded") as caught:
        engine.propose(proposal, sent=False)
    assert not isinstance(caught.value, DealUnknownError)
    assert (caught.value.fault, caught.value.retry_after) == (Fault.OVERLOADED, 7)
    provider.rate = 0
    with pytest.raises(ProviderAwayError) as caught:
        engine.status(proposal)
    assert caught.value.retry_after == 1


@pytest.mark.parametrize("fault", ["500", "503", "429", "no-answer", "no-answer-after", "cut-after"])
def test_a_provider_that_does_not_answer_has_an_outage_and_its_deals_have_not_failed(
    engine: CurioEngine, make: Make, provider: ProviderServer, fault: str
) -> None:
    proposal = make()
    engine.propose(proposal, sent=False)
    provider.faults.add(STATUS, fault)
    with pytest.raises(ProviderAwayError) as caught:
        engine.status(proposal)
    assert not isinstance(caught.value, DealUnknownError | DealRefusedError)
    wait_for(engine, proposal, DealState.ACTIVE)


def test_a_slow_status_is_an_outage(make: Make, provider: ProviderServer) -> None:
    engine = CurioEngine(WALLETS.__getitem__, seconds=0.3)
    proposal = make()
    engine.propose(proposal, sent=False)
    provider.slow_seconds = 1.0
    provider.faults.add(STATUS, "slow")
    with pytest.raises(ProviderAwayError) as caught:
        engine.status(proposal)
    assert caught.value.fault == Fault.TIMED_OUT


def test_one_passing_401_does_not_make_a_deal_unknown(
    engine: CurioEngine, make: Make, provider: ProviderServer
) -> None:
    proposal = make()
    engine.propose(proposal, sent=False)
    provider.faults.add(STATUS, "401")
    engine.status(proposal)


@pytest.mark.parametrize("fault", ["garbage", "redirect"])
@pytest.mark.parametrize("route", ["POST /deal", STATUS, "GET /products"])
def test_an_answer_of_somebody_else_is_no_evidence(
    engine: CurioEngine, make: Make, provider: ProviderServer, fault: str, route: str
) -> None:
    proposal = make()
    if route == STATUS:
        engine.propose(proposal, sent=False)
    provider.faults.add(route, fault)
    with pytest.raises(DealError, match="isn't Curio's Market 2.0") as caught:
        if route == "POST /deal":
            engine.propose(proposal, sent=False)
        elif route == STATUS:
            engine.status(proposal)
        else:
            engine.accepts(at(provider), "main")
    assert caught.value.fault == Fault.UNEXPECTED_ANSWER


def test_deals_are_there_after_a_restart_of_the_provider(
    engine: CurioEngine, make: Make, provider: ProviderServer, tmp_path: Path
) -> None:
    proposal = make()
    engine.propose(proposal, sent=False)
    provider.__exit__()
    with pytest.raises(ProviderAwayError):
        engine.status(proposal)
    with ProviderServer(tmp_path / "provider", seconds=0.02) as again:
        moved = replace(proposal, provider=at(again))
        assert engine.propose(moved, sent=True).state != DealState.FAILED
        wait_for(engine, moved, DealState.ACTIVE)
        assert "POST /deal" not in again.requests
        assert len(again.store.deals()) == 1


@pytest.mark.parametrize("seed", range(4))
def test_random_faults_lose_no_deal_and_make_none_twice(
    make: Make, provider: ProviderServer, seed: int
) -> None:
    """A caller that records before it sends, and only goes forward, ends with each deal once and active."""
    chance = random.Random(seed)
    engine = CurioEngine(WALLETS.__getitem__, seconds=0.5)
    provider.slow_seconds, provider.rate = 0.7, 10_000
    states = {proposal: DealState.PLANNED for proposal in (make() for _ in range(5))}
    disturbances = 0
    others: set[str] = set()

    def step(proposal: Proposal) -> None:
        nonlocal disturbances
        before = states[proposal]
        if chance.random() < 0.6 and disturbances < 30:
            disturbances += 1
            route = "POST /deal" if before in (DealState.PLANNED, DealState.SENT) else STATUS
            provider.faults.add(route, chance.choice(sorted(FAULTS)))
        states[proposal] = advance(before, DealState.SENT)  # recorded before anything is sent
        try:
            if before in (DealState.PLANNED, DealState.SENT):
                report = engine.propose(proposal, sent=before == DealState.SENT)
            else:
                report = engine.status(proposal)
        except (ProviderAwayError, ProviderAuthError):
            return
        except DealError as error:
            others.add(error.fault)
            return
        states[proposal] = advance(states[proposal], report.state)

    for _ in range(400):
        for proposal in states:
            step(proposal)
        if disturbances >= 30 and set(states.values()) == {DealState.ACTIVE}:
            break
    assert set(states.values()) == {DealState.ACTIVE}
    assert others <= {Fault.UNEXPECTED_ANSWER}
    assert {deal.id for deal in provider.store.deals()} == {proposal.id for proposal in states}
    assert {deal.state for deal in provider.store.deals()} == {"complete"}


def raw_server(answer: bytes) -> tuple[str, threading.Thread]:
    """A server that sends these bytes to one connection, and waits for its end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with listener, connection:
            connection.recv(65536)
            connection.sendall(answer)
            connection.settimeout(5)
            try:
                while connection.recv(65536):
                    pass
            except OSError:
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}", thread


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + bytes(3 << 20),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_answer_without_end_or_sense_is_no_answer(answer: bytes) -> None:
    url, _ = raw_server(answer)
    with pytest.raises(NoAnswerError):
        HttpTransport()(Request("GET", url, {}, seconds=0.3))


@pytest.mark.parametrize("place", [b"http://[", b"http://\xff/", b"http://127.0.0.1:1/", b"/again"])
def test_a_redirect_to_anywhere_is_an_answer_like_any_other(place: bytes) -> None:
    url, _ = raw_server(b"HTTP/1.1 302 Found\r\nLocation: " + place + b"\r\nContent-Length: 2\r\n\r\nno")
    assert HttpTransport()(Request("GET", url, {}, seconds=2)).status == 302


def test_a_redirect_with_an_endless_body_is_not_read_to_its_end() -> None:
    url, _ = raw_server(
        b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 99999999\r\n\r\n" + bytes(3 << 20)
    )
    with pytest.raises(NoAnswerError, match="longer than"):
        HttpTransport()(Request("GET", url, {}, seconds=2))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no.such.host.invalid"])
def test_a_request_that_cannot_leave_is_told_from_one_without_an_answer(url: str) -> None:
    with pytest.raises(NotSentError) as caught:
        HttpTransport()(Request("POST", f"{url}/a?secret", {}, b"x", seconds=2))
    assert "secret" not in str(caught.value)


def test_a_netrc_does_not_replace_the_signature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: CurioEngine, provider: ProviderServer
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    engine.accepts(at(provider), "main")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("999999999", 86400.0),
        ("Thu, 01 Jan 2026 00:01:40 GMT", 100.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(
    text: str, seconds: float | None, provider: ProviderServer
) -> None:
    def transport(request: Request) -> Answer:
        return Answer(429, {"retry-after": text}, b"")

    client = CurioClient(at(provider), WALLETS["main"], transport, clock=lambda: 1767225600.0)
    with pytest.raises(ProviderAwayError) as caught:
        client.call("GET", "/products")
    assert caught.value.retry_after == seconds
