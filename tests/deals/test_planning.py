"""Who gets a piece: replicas, limits, history, allocations, renewals; decided without asking anybody."""

from dataclasses import replace
from typing import Any

from ptolemy_core import epochs
from ptolemy_core.catalog.allocations import AllocationRow
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.deal_counts import Load
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.commp import piece_cid_v1, piece_cid_v2
from ptolemy_core.deals.faults import Fault
from ptolemy_core.project import Project
from ptolemy_core.stages.deal_plan import BY_USER, DELAYS, GAVE_UP, REST, DealPlan, Facts, make_plan

NOW = 1_800_000_000.0
EPOCH = epochs.epoch_of(NOW, "mainnet")
SIZE = 1 << 20
PROJECT = Project.model_construct(
    name="p", replicas=2, deal_days=540, deal_start_hours=None, deal_renew_days=None
)
ANNA, BERT, CLEO = (
    ProviderRow(name, "curio", "mainnet", f"f0100{k}") for k, name in enumerate(("anna", "bert", "cleo"))
)
ALL = (ANNA, BERT, CLEO)


def car(number: int = 0) -> CarRow:
    root = bytes([number]) * 31 + b"\0"
    return CarRow(
        container_id=number,
        project="p",
        number=number,
        items=1,
        data_bytes=1,
        file_name="x.car",
        payload_cid=b"\1",
        piece_cid_v1=piece_cid_v1(root),
        piece_cid_v2=piece_cid_v2(root, 1_000_000),
        car_size=1_000_000,
        piece_size=SIZE,
        sha256=None,
        built_at=0.0,
        build_seconds=0.0,
        verified_at=None,
        delivered_at=None,
        delivered_to=None,
    )


def deal(provider: ProviderRow, state: str, number: int = 0, **more: Any) -> DealRow:
    over = state in ("failed", "rejected", "cancelled", "expired", "terminated")
    values: dict[str, Any] = {
        "id": f"{provider.name}-{state}",
        "project": "p",
        "container_id": number,
        "piece_cid_v2": car(number).piece_cid_v2,
        "payload_cid": b"\1",
        "car_size": 1_000_000,
        "piece_size": SIZE,
        "provider": provider.name,
        "engine": "curio",
        "state": state,
        "live": not over,
        "wallet": "main",
        "client": "f1x",
        "transfer": "pull",
        "duration": 540 * epochs.DAY,
        "start_hours": None,
        "start_epoch": None,
        "end_epoch": None,
        "allocation_id": None,
        "renews": "",
        "attempt": 1,
        "tries": 0,
        "next_at": 0.0,
        "checked_at": None,
        "created_at": 0.0,
        "changed_at": NOW - 10,
        "fault": None,
        "message": "words",
        "forgiven": False,
    }
    return DealRow(**(values | more))


def plan(
    deals: list[DealRow] | None = None,
    providers: tuple[ProviderRow, ...] = ALL,
    cars: list[CarRow] | None = None,
    **more: Any,
) -> DealPlan:
    values: dict[str, Any] = {
        "project": PROJECT,
        "cars": cars or [car()],
        "deals": deals or [],
        "providers": providers,
        "loads": {},
        "allocations": None,
        "client": "f1x",
        "now": NOW,
        "epoch": EPOCH,
    }
    return make_plan(Facts(**(values | more)))


def names(one: DealPlan) -> list[str]:
    return [each.provider.name for each in one.assignments]


def reasons(one: DealPlan) -> dict[str, str]:
    (short,) = one.short
    return dict(short.reasons)


def settings(**values: Any) -> Project:
    return PROJECT.model_copy(update=values)


def test_a_piece_goes_to_as_many_providers_as_wanted_in_the_order_of_the_setting() -> None:
    assert names(plan()) == ["anna", "bert"]
    assert names(plan(providers=(CLEO, ANNA, BERT))) == ["cleo", "anna"]


def test_pieces_are_spread_by_bytes() -> None:
    given = names(plan(cars=[car(k) for k in range(30)]))
    assert {name: given.count(name) for name in given} == {"anna": 20, "bert": 20, "cleo": 20}
    loads = {"anna": Load(0, 0, 10 * SIZE)}
    given = names(plan(cars=[car(k) for k in range(10)], loads=loads))
    assert given.count("anna") < given.count("bert")


def test_live_deals_count_and_their_providers_get_no_second_one() -> None:
    for state in ("planned", "sent", "accepted", "transferring", "sealing", "indexing", "active"):
        assert names(plan([deal(ANNA, state)])) == ["bert"]
    assert names(plan([deal(ANNA, "active", project="another")])) == ["bert"]


def test_the_same_content_twice_is_one_piece() -> None:
    one = plan(cars=[car(), replace(car(), container_id=7, number=7)])
    assert (one.pieces, one.wanted, names(one)) == (1, 2, ["anna", "bert"])


def test_a_dead_car_gets_no_deal() -> None:
    dead = replace(car(1), car_storage="generated", dead_at=1.0, dead_reason="a changed")
    made = plan(cars=[car(), dead])
    assert [one.car.number for one in made.assignments] == [0, 0]
    assert made.pieces == 1


def test_a_proposal_without_an_answer_after_three_tries_is_no_replica_but_keeps_its_provider() -> None:
    assert names(plan([deal(ANNA, "sent", tries=2)])) == ["bert"]
    assert names(plan([deal(ANNA, "sent", tries=3)])) == ["bert", "cleo"]


def test_a_failed_deal_waits_for_its_provider_and_then_is_its_next_attempt() -> None:
    one = plan([deal(ANNA, "failed")])
    assert names(one) == ["bert"]
    assert [(name, round(wait)) for _, name, wait in one.waiting] == [("anna", round(DELAYS[0] - 10))]
    again = plan([deal(ANNA, "failed", changed_at=NOW - DELAYS[0])])
    assert [(each.provider.name, each.attempt) for each in again.assignments] == [("anna", 2), ("bert", 1)]


def test_after_three_failures_the_next_provider_gets_the_piece() -> None:
    past = [deal(ANNA, "failed", id=f"{k}", changed_at=NOW - 1e6) for k in range(3)]
    assert names(plan(past)) == ["bert", "cleo"]
    assert names(plan(past[:2])) == ["anna", "bert"]
    assert "failed 3 times: words" in reasons(plan(past, (ANNA, BERT)))["anna"]


def test_a_refused_piece_goes_to_the_next_provider_at_once() -> None:
    assert names(plan([deal(ANNA, "rejected", fault=Fault.PROVIDER_BAD_PROPOSAL)])) == ["bert", "cleo"]
    old = deal(ANNA, "rejected", fault=Fault.PROVIDER_BAD_PROPOSAL, changed_at=0.0)
    assert names(plan([old])) == ["bert", "cleo"]


def test_what_may_pass_is_tried_again_after_a_day() -> None:
    for fault in (Fault.MARKET_OFF, GAVE_UP):
        row = deal(ANNA, "cancelled" if fault == GAVE_UP else "rejected", fault=fault)
        assert names(plan([row])) == ["bert", "cleo"]
        assert names(plan([replace(row, changed_at=NOW - REST - 1)])) == ["anna", "bert"]


def test_a_deal_that_a_user_cancelled_is_not_made_again_unless_forgiven() -> None:
    row = deal(ANNA, "cancelled", fault=BY_USER, changed_at=0.0)
    assert names(plan([row])) == ["bert", "cleo"]
    assert names(plan([replace(row, forgiven=True)])) == ["anna", "bert"]


def test_limits_of_a_provider_are_kept() -> None:
    for limited, words in (
        (replace(ANNA, max_pending=3), "has 3 deals on their way"),
        (replace(ANNA, max_pending_bytes=4 * SIZE - 1), "bytes on their way"),
        (replace(ANNA, max_total_bytes=6 * SIZE - 1), "as many bytes"),
    ):
        loads = {"anna": Load(3, 3 * SIZE, 5 * SIZE)}
        one = plan(providers=(limited, BERT), loads=loads)
        assert names(one) == ["bert"]
        assert words in reasons(one)["anna"]
    assert (
        names(plan(providers=(replace(ANNA, max_pending=1), BERT), cars=[car(0), car(1)])).count("anna") == 1
    )


def test_a_provider_that_does_not_answer_gets_nothing_new() -> None:
    away = replace(ANNA, away_since=NOW - 5, away_until=NOW + 5, away_reason="no connection")
    one = plan(providers=(away, BERT))
    assert names(one) == ["bert"]
    assert "no connection" in reasons(one)["anna"]


def allocation(**more: Any) -> AllocationRow:
    values: dict[str, Any] = {"network": "mainnet", "id": 5, "provider": ANNA.address, "piece_size": SIZE}
    return AllocationRow(**(values | {"piece_cid_v1": car().piece_cid_v1} | more))


def test_a_verified_deal_takes_the_allocation_of_its_piece_size_and_provider() -> None:
    one = plan(allocations=[allocation()])
    assert [(each.provider.name, each.allocation_id) for each in one.assignments] == [("anna", 5)]
    assert "no free allocation" in reasons(one)["bert"]
    days = 540 * epochs.DAY
    for wrong in (
        {"provider": "f09"},
        {"piece_cid_v1": car(1).piece_cid_v1},
        {"piece_size": 2 * SIZE},
        {"client": "f1another"},
        {"term_min": days + 1},
        {"term_max": days - 1},
        {"expiration": EPOCH - 1},
    ):
        assert not plan(allocations=[allocation(**wrong)]).assignments, wrong
    fits = allocation(client="f1x", term_min=days, term_max=days, expiration=EPOCH)
    assert plan(allocations=[fits]).assignments


def test_an_allocation_is_used_once() -> None:
    twice = [car(), replace(car(), container_id=1, number=1)]
    assert len(plan(cars=twice, allocations=[allocation()]).assignments) == 1


def test_a_deal_that_ends_soon_is_renewed_with_its_provider_once() -> None:
    soon = deal(ANNA, "active", end_epoch=EPOCH + 10 * epochs.DAY)
    other = deal(BERT, "active", end_epoch=EPOCH + 100 * epochs.DAY)
    assert not plan([soon, other]).assignments
    renewing = settings(deal_renew_days=30)
    (one,) = plan([soon, other], project=renewing).assignments
    assert (one.provider.name, one.renews) == ("anna", soon.id)
    made = deal(ANNA, "sent", id="new", renews=soon.id)
    assert not plan([soon, other, made], project=renewing).assignments
    cancelled = deal(ANNA, "cancelled", id="new", renews=soon.id, fault=BY_USER)
    assert not plan([soon, other, cancelled], project=renewing).assignments


def test_an_expired_deal_is_made_anew() -> None:
    assert names(plan([deal(ANNA, "expired"), deal(BERT, "active")])) == ["anna"]
