"""ULIDs, epochs, states and proposals: rules at their boundaries, each failure with its code."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core import address, epochs
from ptolemy_core.deals import (
    Conditions,
    DealState,
    Fault,
    Offline,
    Piece,
    Proposal,
    Provider,
    Pull,
    Push,
    SourceUrl,
    Terms,
    advance,
    new_ulid,
)
from ptolemy_core.deals.proposal import MAX_DURATION, MIN_DURATION, provider_of
from ptolemy_core.deals.redaction import redact, redact_url
from ptolemy_core.deals.states import LIVE, is_over, may_follow
from ptolemy_core.errors import ProposalError, SettingsError
from ptolemy_core.ulid import is_ulid, ulid_time

PAGE = (Path(__file__).parents[2] / "docs" / "deals.md").read_text("utf-8")
PIECE = Piece("bafkzcibfxx3meais3xzh6qn56y6hiasmrufhegoweu3o5ccofs74nfdfr4yn76pqz4pq")
CLIENT = address.parse("f1ksu3ktw4xhyaoltwr546b3epfs5wxxqfyyxipwi")
GOOD = Proposal(
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    PIECE,
    provider_of("f01000", "mainnet", "https://provider.example"),
    CLIENT,
    "main",
    Pull((SourceUrl("https://pieces.example/a?sig=x"),)),
)


def test_a_ulid_is_the_one_of_its_specification() -> None:
    assert ulid_time("01ARYZ6S41TSV4RRFFQ69G5FAV") == datetime.fromtimestamp(1469918176.385, UTC)
    assert is_ulid("7" + "Z" * 25)
    for wrong in (
        "8" + "0" * 25,
        "0" * 25,
        "0" * 27,
        "01ARYZ6S41TSV4RRFFQ69G5FAU",
        "01aryz6s41tsv4rrffq69g5fav",
        "",
    ):
        assert not is_ulid(wrong)
        with pytest.raises(ValueError, match="not a ULID"):
            ulid_time(wrong)


@given(st.lists(st.integers(0, 2**48 - 1), min_size=1))
def test_ulids_keep_their_time_and_sort_by_it(times: list[int]) -> None:
    made = [new_ulid(time) for time in times]
    assert all(is_ulid(one) for one in made)
    assert [one[:10] for one in sorted(made)] == sorted(one[:10] for one in made)
    assert [new_ulid(time)[:10] for time in sorted(times)] == sorted(one[:10] for one in made)


def test_ulids_of_one_moment_differ() -> None:
    assert len({new_ulid(1) for _ in range(1000)}) == 1000


def test_epochs_are_counted_from_the_genesis_of_each_network() -> None:
    assert epochs.time_of(0, "mainnet").timestamp() == 1598306400
    assert epochs.time_of(0, "calibration").timestamp() == 1667326380
    assert epochs.DAY == 2880
    moment = datetime(2026, 11, 26, 19, 40, 29, tzinfo=UTC)
    epoch = epochs.epoch_at(moment, "mainnet")
    assert epochs.time_of(epoch, "mainnet") <= moment < epochs.time_of(epoch + 1, "mainnet")
    assert epochs.show(2880, "mainnet") == "epoch 2880 (2020-08-25 22:00 UTC)"
    with pytest.raises(ValueError, match="time zone"):
        epochs.epoch_at(datetime(2026, 1, 1), "mainnet")


@given(st.integers(-(10**6), 10**8), st.sampled_from(["mainnet", "calibration"]))
def test_an_epoch_comes_back_from_its_time(epoch: int, network: address.Network) -> None:
    assert epochs.epoch_at(epochs.time_of(epoch, network), network) == epoch


@given(st.lists(st.sampled_from(list(DealState)), max_size=12))
def test_states_go_only_forward_and_stay_when_a_deal_is_over(seen: list[DealState]) -> None:
    state = DealState.PLANNED
    for one in seen:
        before, state = state, advance(state, one)
        if is_over(before):
            assert state == before
        elif not is_over(state):
            assert LIVE.index(state) >= LIVE.index(before)


def test_a_deal_that_was_active_does_not_fail_but_is_terminated() -> None:
    assert advance(DealState.ACTIVE, DealState.FAILED) == DealState.TERMINATED
    assert advance(DealState.SEALING, DealState.FAILED) == DealState.FAILED
    assert advance(DealState.ACCEPTED, DealState.REJECTED) == DealState.ACCEPTED
    assert advance(DealState.SENT, DealState.EXPIRED) == DealState.SENT
    assert not may_follow(DealState.ACTIVE, DealState.CANCELLED)


def test_a_right_proposal_has_no_problem() -> None:
    GOOD.check()
    for source in (Push(), Offline()):
        replace(GOOD, source=source).check()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"id": "01arz3ndektsv4rrffq69g5fav"}, Fault.BAD_ID),
        ({"piece": Piece("bafy")}, Fault.BAD_PIECE),
        ({"piece": Piece(PIECE.cid_v1)}, Fault.BAD_PIECE),
        ({"provider": Provider(CLIENT)}, Fault.BAD_PROVIDER),
        ({"provider": Provider(GOOD.provider.address, "ftp://a")}, Fault.BAD_PROVIDER),
        ({"provider": Provider(GOOD.provider.address, "https://u:p@a")}, Fault.BAD_PROVIDER),
        ({"provider": Provider(GOOD.provider.address, "https://a:x")}, Fault.BAD_PROVIDER),
        ({"provider": Provider(GOOD.provider.address, "http://provider.example")}, Fault.INSECURE_PROVIDER),
        ({"client": address.parse("f01001")}, Fault.BAD_CLIENT),
        ({"client": CLIENT.on("calibration")}, Fault.WRONG_NETWORK),
        ({"source": Pull(())}, Fault.TOO_MANY_URLS),
        ({"source": Pull((SourceUrl("https://a/"),) * 11)}, Fault.TOO_MANY_URLS),
        ({"source": Pull((SourceUrl("https://u:p@a/"),))}, Fault.BAD_URL),
        ({"source": Pull((SourceUrl("https://a/" + "x" * 4087),))}, Fault.BAD_URL),
        ({"source": Pull((SourceUrl("file:///etc/passwd"),))}, Fault.BAD_URL),
        ({"source": Pull((SourceUrl("https://a/", (("Range", "x"),)),))}, Fault.BAD_HEADER),
        ({"source": Pull((SourceUrl("https://a/", (("A", "x\r\ny"),)),))}, Fault.BAD_HEADER),
        ({"source": Pull((SourceUrl("https://a/", (("A", "x"),) * 11),))}, Fault.BAD_HEADER),
        ({"conditions": Conditions(MIN_DURATION - 1)}, Fault.BAD_DURATION),
        ({"conditions": Conditions(MAX_DURATION + 1)}, Fault.BAD_DURATION),
        ({"conditions": Conditions(start_epoch=0)}, Fault.BAD_START),
        ({"conditions": Conditions(allocation_id=0)}, Fault.BAD_ALLOCATION),
        ({"conditions": Conditions(indexing=False)}, Fault.NOT_ACCEPTED),
    ],
)
def test_each_failure_of_a_proposal_has_its_code(change: dict[str, object], fault: Fault) -> None:
    with pytest.raises(ProposalError) as caught:
        replace(GOOD, **change).check()  # type: ignore[arg-type]
    assert caught.value.fault == fault
    assert "can't be proposed" in str(caught.value)
    assert "u:p" not in str(caught.value)


def test_values_at_their_limits_are_fine() -> None:
    for duration in (MIN_DURATION, MAX_DURATION):
        replace(GOOD, conditions=Conditions(duration, start_epoch=1, allocation_id=1)).check()
    replace(GOOD, source=Pull((SourceUrl("https://a/" + "x" * 4086, (("A", "x"),) * 10),) * 10)).check()
    replace(
        GOOD, provider=Provider(GOOD.provider.address, "http://provider.example", plain_http=True)
    ).check()
    replace(GOOD, provider=Provider(GOOD.provider.address, "http://[::1]:80")).check()


@pytest.mark.parametrize(
    ("terms", "change", "fault"),
    [
        (Terms(frozenset({Push})), {}, Fault.NOT_ACCEPTED),
        (Terms(frozenset({Pull}), largest_piece=128), {}, Fault.PIECE_TOO_LARGE),
        (
            Terms(frozenset({Pull}), verified=False),
            {"conditions": Conditions(allocation_id=1)},
            Fault.BAD_ALLOCATION,
        ),
        (Terms(frozenset({Pull})), {"provider": Provider(GOOD.provider.address)}, Fault.BAD_PROVIDER),
    ],
)
def test_what_a_provider_does_not_take_has_its_code(
    terms: Terms, change: dict[str, object], fault: Fault
) -> None:
    with pytest.raises(ProposalError) as caught:
        terms.check(replace(GOOD, **change))  # type: ignore[arg-type]
    assert caught.value.fault == fault


def test_a_provider_of_the_other_network_is_refused() -> None:
    with pytest.raises(SettingsError, match="is an address of mainnet"):
        provider_of("f01000", "calibration")


def test_the_page_lists_each_code_and_each_state() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted([*Fault, *DealState])


def test_nothing_secret_of_a_url_is_left() -> None:
    assert redact_url("https://u:p@host:1/a/b?sig=s#f") == "https://...@host:1/a/b?...#..."
    text = redact(
        "failed: GET https://u:p@h/a?sig=s, CurioAuth secp256k1:AA:BBBB\n\x1b[31m token-1", ["token-1"]
    )
    assert text == "failed: GET https://...@h/a?... CurioAuth secp256k1:AA:... [31m ..."
    assert len(redact("x" * 10_000)) == 500
    assert "s3cret" not in f"{SourceUrl('https://a/?s3cret', (('A', 's3cret'),))!r} {GOOD!r}"
    assert "sig=x" not in repr(GOOD)
