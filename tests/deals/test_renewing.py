"""The end of deals, with the clock moved: who is listed, renewed and expired, and what stays delivered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.catalog import providers
from ptolemy_core.catalog.providers import ProviderRow
from ptolemy_core.stages import deal
from ptolemy_core.stages.replication import replication
from tests.deals.project import SECRET, Dealing, dealing
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]

DAY = 86_400


@pytest.fixture
def one(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealing]:
    """One piece, active with both providers for 540 days."""
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    assert len(stage.run({b"f": bytes(PROFILE.size_unit)})) == 1
    with dealing(stage, tmp_path) as made:
        made.plan()
        made.all_active()
        yield made


def expiring(one: Dealing, days: float) -> list[str]:
    return [row.id for row in deal.expiring(one.catalog, one.name, days, lambda: one.now)]


def test_deals_that_end_soon_are_renewed_with_the_same_provider_and_stay_delivered(one: Dealing) -> None:
    one.settings(deal_renew_days=30)
    first = {row.id: row.provider for row in one.rows()}
    one.now += 509 * DAY
    assert not one.plan().assignments
    assert not expiring(one, 30)
    one.now += 2 * DAY
    assert set(expiring(one, 30)) == set(first)
    assert {(each.provider.name, each.renews) for each in one.plan().assignments} == {
        (provider, id) for id, provider in first.items()
    }
    assert not one.plan().assignments  # once is enough
    one.all_active()
    assert not expiring(one, 30)  # they are renewed
    assert len(expiring(one, 1e308)) == 2  # the new ones
    state = replication(one.catalog, one.name)
    assert (state.active, state.replicated) == (2, 1)
    assert [len(one.deals_at(name)) for name in ("anna", "bert")] == [2, 2]

    one.now += 31 * DAY
    one.round()
    assert one.states() == ["active", "active", "expired", "expired"]
    assert one.scene.cars()[0].delivered_at is not None
    assert not one.plan().assignments
    one.now += 480 * DAY
    renewed = {row.id for row in one.rows() if row.state == "active"}
    assert {each.renews for each in one.plan().assignments} == renewed


def test_deals_that_are_not_renewed_expire_and_are_made_anew(one: Dealing) -> None:
    one.now += 541 * DAY
    plan = one.plan()
    assert one.states() == ["expired", "expired", "planned", "planned"]
    assert [(each.attempt, each.renews) for each in plan.assignments] == [(1, ""), (1, "")]
    assert one.scene.cars()[0].delivered_at is None
    one.until(lambda: one.states().count("active") == 2)
    assert one.scene.cars()[0].delivered_at is not None


def test_a_market_that_is_off_renews_a_day_later(one: Dealing) -> None:
    one.settings(deal_renew_days=30)
    one.now += 520 * DAY
    anna = one.servers["anna"].market
    anna.products["ddo_v1"] = False
    one.plan()
    one.round()
    (short,) = one.plan().short
    assert "ends soon and isn't renewed: not tried for a day" in short.reasons[0][1]
    anna.products["ddo_v1"] = True
    one.now += DAY + 1
    assert [(each.provider.name, each.attempt) for each in one.plan().assignments] == [("anna", 2)]
    one.until(lambda: one.states().count("active") == 4)
    assert not expiring(one, 30)


def test_another_provider_gets_a_piece_in_time_if_its_deal_is_not_renewed(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.settings(deal_renew_days=30)
    cleo = ProviderRow("cleo", "manual", "mainnet", "f0777")
    providers.add(one.catalog, cleo)
    one.settings(providers=["anna", "bert", "cleo"])
    one.now += 520 * DAY
    monkeypatch.setattr(one.servers["anna"].worker, "add", lambda _: None)
    for attempt in (1, 2, 3):
        assert ("anna", attempt) in [(each.provider.name, each.attempt) for each in one.plan().assignments]
        one.round()
        one.servers["anna"].store.set(one.deals_at("anna")[-1].id, "failed", "no space")
        one.round()
        assert attempt == 3 or not one.plan().assignments  # it waits before it tries again
        one.now += 4000
    assert [each.provider.name for each in one.plan().assignments] == ["cleo"]
    assert not one.plan().assignments
    assert [row.provider for row in one.rows() if row.id in expiring(one, 30)] == ["anna"]
    assert one.scene.cars()[0].delivered_at is not None
