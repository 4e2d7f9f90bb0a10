"""What is wrong on our side (a key, a secret for URLs) changes no deal, and a person is told."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.deals import Pull
from ptolemy_core.deals.curio import CurioEngine
from ptolemy_core.errors import SettingsError
from ptolemy_core.keys.wallets import Wallets, WalletText
from tests.deals.project import SECRET, Dealing, dealing
from tests.stages.conftest import PROFILE, Scene, catalog_url, make, stage

__all__ = ["catalog_url", "make", "stage"]

OTHER = Wallets([WalletText("main=secp256k1:" + "7d" * 32, "a test")])
NONE = Wallets([WalletText("spare=secp256k1:" + "7d" * 32, "a test")])


@pytest.fixture
def one(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dealing]:
    """One piece that two providers are to get."""
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    assert len(stage.run({b"f": bytes(PROFILE.size_unit)})) == 1
    with dealing(stage, tmp_path) as made:
        yield made


def with_wallets(one: Dealing, wallets: Wallets) -> None:
    one.engines = {"curio": CurioEngine(wallets.find, seconds=2)}.__getitem__


@pytest.mark.parametrize(
    ("wallets", "words"), [(OTHER, "the wallet main has the address f1"), (NONE, "there is no wallet main")]
)
def test_another_key_under_the_alias_of_a_wallet_fails_no_deal(
    one: Dealing, wallets: Wallets, words: str
) -> None:
    one.plan()
    one.round()
    good, before = one.engines, {row.id: row.state for row in one.rows()}
    assert "accepted" in before.values()
    with_wallets(one, wallets)
    for server in one.servers.values():
        server.requests.clear()
    for _ in range(8):
        one.now += 4000
        result = one.round()
        assert [problem.split(":")[0] for problem in sorted(result.problems)] == [
            "provider anna",
            "provider bert",
        ]
        assert all(words in problem for problem in result.problems)
        assert result.asked == 0
    assert {row.id: row.state for row in one.rows()} == before
    assert not any(server.requests for server in one.servers.values())
    one.engines = good
    one.now += 4000
    one.all_active()


def test_deals_that_were_never_sent_survive_another_key_too(one: Dealing) -> None:
    one.plan()
    good = one.engines
    with_wallets(one, OTHER)
    for _ in range(8):
        one.round()
        one.now += 4000
    assert set(one.states()) == {"sent"}
    one.engines = good
    one.all_active()
    assert [len(one.deals_at(name)) for name in ("anna", "bert")] == [1, 1]


def test_deals_are_followed_without_the_secret_of_their_urls(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.plan()
    one.round()
    monkeypatch.delenv("PTOLEMY_PIECE_SECRET")
    one.all_active()


def test_a_proposal_waits_for_the_secret_of_its_urls_and_the_provider_s_other_deals_go_on(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.servers["bert"].faults.add("POST /deal", "500")
    one.plan()
    one.round()
    one.scene.run({b"more": bytes([1]) * PROFILE.size_unit})
    one.plan()
    monkeypatch.delenv("PTOLEMY_PIECE_SECRET")
    for _ in range(8):
        one.now += 4000
        result = one.round()
        assert "PTOLEMY_PIECE_SECRET isn't set" in result.problems[0]
        threading.Event().wait(0.05)
    assert one.states() == ["active", "planned", "planned", "sent"]
    with pytest.raises(SettingsError, match="PTOLEMY_PIECE_SECRET"):
        one.plan()
    monkeypatch.setenv("PTOLEMY_PIECE_SECRET", SECRET)
    one.now += 4000
    one.all_active()


def test_the_secret_of_urls_is_kept_out_of_what_a_provider_says_later(
    one: Dealing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ptolemy_core.catalog import deals, providers
    from ptolemy_core.stages.deal_proposal import question_of

    monkeypatch.setattr(one.servers["anna"].worker, "add", lambda _: None)
    one.plan()
    one.round()
    row = one.rows()[0]
    proposal = question_of(row, providers.get(one.catalog, "anna"))
    assert proposal.source == Pull(())
    assert SECRET not in repr(proposal)
    one.servers["anna"].store.set(one.deals_at("anna")[0].id, "failed", f"bad query s={SECRET}")
    one.round()
    (failed,) = [row for row in one.rows() if row.state == "failed"]
    assert failed.message == "bad query s=..."
    assert SECRET not in str(deals.history(one.catalog, failed.id))
