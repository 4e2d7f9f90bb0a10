"""`ptolemy providers` and `ptolemy deals`: what they print, what they refuse, and how they end."""

from pathlib import Path

import pytest

from ptolemy_core.catalog import deals
from tests.cli.commands import error_of, printed, ptolemy
from tests.cli.test_schemas import is_as_published
from tests.pipeline.backend import Backend, in_process

KEY = "7e" * 32


@pytest.fixture
def built(delta: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A built project whose deals are made by hand with one provider."""
    monkeypatch.setenv("PTOLEMY_WALLETS", f"main=secp256k1:{KEY}")
    with delta.instance() as instance:
        for job in ("scan", "containerize", "blitz"):
            assert in_process(job, "delta", instance).success
    ptolemy("providers", "add", "dora", "--engine", "manual", "--address", "f0777")
    options = ("--replicas", 1, "--providers", "dora", "--deal-wallet", "main", "--deal-transfer", "offline")
    ptolemy("set", "delta", *options)
    return delta


def test_manual_deals_from_the_plan_to_the_mark(built: Backend) -> None:
    plan = is_as_published("deals-plan", printed("deals", "plan", "delta"))
    assert [one["provider"] for one in plan["deals"]] == ["dora"]
    assert is_as_published("deals-list", printed("deals", "list", "delta")) == []
    made = is_as_published("deals-make", printed("deals", "make", "delta"))
    assert made["round"]["asked"] == 1
    assert is_as_published("deals-track", printed("deals", "track", "delta"))["asked"] == 0
    (deal,) = is_as_published("deals-list", printed("deals", "list", "delta", "--live"))
    assert (deal["state"], deal["client"][:2]) == ("sent", "f1")
    boost = ptolemy("deals", "export", "delta", "--format", "boost").stdout
    assert boost.startswith("boost offline-deal --provider=f0777 ")
    assert ptolemy("deals", "export", "delta").stdout.count("\n") == 2
    ptolemy("deals", "set", deal["id"][:20].lower(), "--state", "active", "--note", "uuid 7")
    whole = is_as_published("deals-show", printed("deals", "show", deal["id"]))
    assert list(dict.fromkeys(one["state"] for one in whole["history"])) == ["planned", "sent", "active"]
    assert whole["history"][-1]["message"] == "uuid 7"
    assert len(is_as_published("deals-expiring", printed("deals", "expiring", "delta", "--days", 1000))) == 1
    assert "pieces with enough active deals (1 each): 1 of 1;" in ptolemy("deals", "list", "delta").output
    (car,) = printed("cars", "delta")
    assert car["delivered_to"] == "dora"


def test_a_cancelled_deal_is_made_again_after_retry(built: Backend) -> None:
    (deal,) = printed("deals", "make", "delta")["plan"]["deals"]
    (row,) = printed("deals", "list", "delta")
    ptolemy("deals", "cancel", row["id"])
    assert deal["provider"] == "dora"
    assert (
        "a deal was cancelled; `ptolemy deals retry` allows another"
        in ptolemy("deals", "plan", "delta").output
    )
    assert (
        "failed deals that no longer count against their providers: 1;"
        in ptolemy("deals", "retry", "delta").output
    )
    assert len(printed("deals", "plan", "delta")["deals"]) == 1
    assert "can't be cancelled" in error_of("deals", "cancel", row["id"])


def test_release_asks_for_the_wanted_deals_and_can_be_overridden(built: Backend) -> None:
    assert "has 0 of the 1 active deals that its project wants" in error_of("release", "delta/0")
    ptolemy("release", "delta/0", "--override", "--note", "shelf")
    assert printed("cars", "delta")[0]["delivered_to"] == "shelf"


def test_allocations_are_imported_from_a_file(built: Backend, tmp_path: Path) -> None:
    (car,) = printed("cars", "delta")
    file = tmp_path / "allocations.csv"
    file.write_text(f"id,provider,data,size\n5,f0777,{car['piece_cid']},{car['piece_size']}\n")
    assert printed("deals", "allocations", file) == {"read": 1, "new": 1, "free": 1}
    assert printed("deals", "allocations", file) == {"read": 1, "new": 0, "free": 1}
    assert "no network 'moon'" in error_of("deals", "allocations", file, "--network", "moon", code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--address", "f1abc"), "isn't a Filecoin address"),
        (("--address", "f01"), "needs --url"),
        (("--address", "f01", "--url", "http://far.example"), "without https"),
        (("--address", "f01", "--url", "https://a:b@x.example"), "without user"),
        (("--address", "f01", "--engine", "boost"), "engines are curio, manual"),
        (
            ("--address", "f01", "--url", "https://x.example", "--retrieval-url", "https://x"),
            "names no piece",
        ),
    ],
)
def test_providers_that_can_not_be_used_are_refused(
    delta: Backend, options: tuple[str, ...], words: str
) -> None:
    assert words in error_of("providers", "add", "p", *options, code=2)
    assert printed("providers", "list") == []


def test_providers_are_changed_listed_and_removed(built: Backend) -> None:
    ptolemy("providers", "add", "eve", "--address", "t01", "--url", "https://eve.example", "--max-pending", 3)
    listed = is_as_published("providers-list", printed("providers", "list"))
    assert [(one["name"], one["network"], one["max_pending"]) for one in listed] == [
        ("dora", "mainnet", None),
        ("eve", "calibration", 3),
    ]
    assert "is defined already" in error_of(
        "providers", "add", "eve", "--address", "t02", "--url", "https://e", code=2
    )
    ptolemy("providers", "add", "eve", "--address", "t01", "--url", "https://new.example")
    assert printed("providers", "list")[1]["max_pending"] is None
    ptolemy("providers", "remove", "eve")
    ptolemy("deals", "make", "delta")
    assert "has deals" in error_of("providers", "remove", "dora", code=2)
    told = is_as_published("providers-check", printed("providers", "check"))
    assert told == [{"name": "dora", "ok": True, "sources": ["offline", "pull", "push"], "message": ""}]


def test_what_is_not_there_is_named(built: Backend) -> None:
    assert "no deal matches 'zzz'" in error_of("deals", "show", "zzz")
    assert "has no piece 'bafy'" in error_of("deals", "plan", "delta", "--piece", "bafy")
    assert "no provider 'nobody'" in error_of("deals", "plan", "delta", "--provider", "nobody")
    assert "no project 'nemo'" in error_of("deals", "list", "nemo")
    ptolemy("set", "delta", "--deal-wallet", "lost")
    assert "there is no wallet lost" in error_of("deals", "make", "delta")
    assert not deals.select(built.catalog, project="delta")
