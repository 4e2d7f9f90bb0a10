"""`ptolemy providers` and `ptolemy deals`: what they print, what they refuse, and how they end."""

from pathlib import Path

import pytest

from ptolemy_core.catalog import deals, providers
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
    assert "has no root yet" in error_of("deals", "export", "delta", "--root")
    root = printed("root", "delta")
    assert root["piece_cid"] in ptolemy("deals", "export", "delta", "--root").stdout.splitlines()[-1]
    imports = ptolemy("deals", "export", "delta", "--format", "boost-import")
    assert (imports.stdout, "its UUID isn't known" in imports.stderr) == ("", True)
    uuid = "0f8d5f1c-1d8c-4f0a-9d53-5f3a6d2c9b11"
    ptolemy("deals", "set", deal["id"], "--state", "accepted", "--note", f"Boost's {uuid}")
    imports = ptolemy("deals", "export", "delta", "--format", "boost-import", "--folder", "/cars here")
    assert imports.stdout == f"boostd import-data -- {uuid} '/cars here/{deal['piece_cid']}.car'\n"
    assert (
        "all manual deals of delta are proposed"
        in ptolemy("deals", "export", "delta", "--format", "boost").stderr
    )
    ptolemy("deals", "set", deal["id"][:20].lower(), "--state", "active", "--note", "uuid 7")
    whole = is_as_published("deals-show", printed("deals", "show", deal["id"]))
    assert list(dict.fromkeys(one["state"] for one in whole["history"])) == [
        "planned",
        "sent",
        "accepted",
        "active",
    ]
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
    (mark,) = is_as_published("deals-list", printed("deals", "list", "delta", "--live"))
    assert (mark["provider"], mark["engine"], mark["state"]) == ("", "manual", "active")
    told = "shelf; marked with --override: 0 of 1 deals are active"
    assert mark["message"] == told
    assert (
        is_as_published("deals-show", printed("deals", "show", mark["id"]))["history"][-1]["message"] == told
    )
    assert "(marked by hand)" in ptolemy("deals", "list", "delta").output
    for command in (("cancel", mark["id"]), ("set", mark["id"], "--state", "terminated")):
        assert "--undo` takes the mark back" in error_of("deals", *command)
    ptolemy("release", "delta/0", "--undo")
    assert printed("deals", "list", "delta")[0]["state"] == "terminated"


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
    ptolemy("providers", "remove", "eve")
    assert "project 'delta' has provider 'dora'" in error_of("providers", "remove", "dora", code=2)
    ptolemy("deals", "make", "delta")
    ptolemy("set", "delta", "--no-providers")
    assert "has deals" in error_of("providers", "remove", "dora", code=2)
    told = is_as_published("providers-check", printed("providers", "check"))
    assert told == [{"name": "dora", "ok": True, "sources": ["offline", "pull", "push"], "message": ""}]


def test_settings_of_a_provider_that_are_not_named_stay(delta: Backend) -> None:
    assert ptolemy("providers", "check").output.startswith("there are no providers")
    for option in ("--max-pending", "--max-pending-gib", "--max-total-gib"):
        said = error_of(
            "providers", "add", "eve", "--address", "t01", "--url", "https://e", option, 10**30, code=2
        )
        assert "too large: 0 takes the limit away" in said
    assert "a new one needs --address" in error_of("providers", "add", "eve", "--rate", 3, code=2)
    limits = ("--max-pending", 3, "--max-pending-gib", 64, "--max-total-gib", 640, "--rate", 2.5)
    urls = (
        "--url",
        "http://eve.example",
        "--plain-http",
        "--retrieval-url",
        "https://eve.example/{piece_cid}",
    )
    ptolemy("providers", "add", "eve", "--address", "t01", *urls, *limits)
    (before,) = printed("providers", "list")
    for option, setting, value, said in (
        (("--max-pending", 5), "max_pending", 5, "max pending was 3, is 5"),
        (
            ("--max-pending-gib", 0),
            "max_pending_bytes",
            None,
            "max pending bytes was 64 GiB, is without limit",
        ),
        (("--rate", 4), "rate", 4.0, "rate was 2.5, is 4"),
        (("--retrieval-url", ""), "retrieval_url", None, "is the usual one"),
        (("--address", "t01", "--url", "https://eve.example"), "url", "https://eve.example", "url was http"),
        (("--no-plain-http",), "plain_http", False, "plain http was on, is off"),
    ):
        output = ptolemy("providers", "add", "eve", *option).output
        assert said in output
        assert output.count("\n") == 1
        before[setting] = value
        assert printed("providers", "list") == [before]
    assert (
        ptolemy("providers", "add", "eve", "--engine", "curio").output == "provider eve (t01) is unchanged\n"
    )
    assert "is defined already" in error_of("providers", "add", "eve", "--engine", "manual", code=2)


def test_a_provider_at_a_new_url_is_not_away_any_more(built: Backend) -> None:
    ptolemy("providers", "add", "eve", "--address", "f01", "--url", "https://old.example")
    providers.set_away(built.catalog, "eve", 4e9, "no connection")
    ptolemy("providers", "add", "eve", "--rate", 3)
    assert printed("providers", "list")[1]["away_reason"] == "no connection"
    ptolemy("providers", "add", "eve", "--url", "https://new.example")
    assert printed("providers", "list")[1]["away_reason"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--providers", "dora", "--providers", "nobody"), "no provider 'nobody'"),
        (("--providers", "dora", "--providers", "dora"), "providers name 'dora' twice"),
        (("--providers", "dora", "--providers", "test"), "are of calibration and mainnet"),
        (("--replicas", 2), "wants replicas 2 and has 1 of providers (dora)"),
    ],
)
def test_settings_that_no_deal_can_be_made_with_are_refused(
    built: Backend, options: tuple[object, ...], words: str, tmp_path: Path
) -> None:
    ptolemy("providers", "add", "test", "--engine", "manual", "--address", "t0777")
    before = printed("set", "delta")
    assert words in error_of("set", "delta", *options, code=2)
    assert printed("set", "delta") == before
    folders = ("--target-dir", built.root / "data", "--staging-dir", tmp_path / "other")
    more = () if "--providers" in options else ("--providers", "dora")
    assert words in error_of("create", "other", *folders, *options, *more, code=2)
    assert [one["project"] for one in printed("status")] == ["delta"]


def test_a_wallet_that_is_not_here_is_warned_of(built: Backend, tmp_path: Path) -> None:
    said = "warning: deals can't be made here: there is no wallet lost"
    assert said in ptolemy("set", "delta", "--deal-wallet", "lost").output
    folders = ("--target-dir", built.root / "data", "--staging-dir", tmp_path / "other")
    assert said in ptolemy("create", "other", *folders, "--deal-wallet", "lost").output
    assert "warning" not in ptolemy("set", "delta", "--deal-wallet", "main").output


def test_what_comes_next_is_said(built: Backend) -> None:
    assert "states are planned, sent, accepted" in error_of(
        "deals", "list", "delta", "--state", "nonsense", code=2
    )
    ptolemy("deals", "make", "delta")
    assert "ptolemy deals set ID --state active" in ptolemy("deals", "track", "delta").output
    (deal,) = printed("deals", "list", "delta", "--state", "sent", "--state", "active")
    assert "deals due now: 1; next: ptolemy deals make delta" in ptolemy("deals", "retry", deal["id"]).output
    dry = ptolemy("delete", "delta").output
    assert "deals that aren't over: 1; providers keep" in dry
    assert "--yes --force removes it" in dry
    told = is_as_published("delete", printed("delete", "delta"))
    assert told["deals"] == 1
    assert told["obstacle"] in error_of("delete", "delta", "--yes")


def test_what_is_not_there_is_named(built: Backend) -> None:
    assert "no deal matches 'zzz'" in error_of("deals", "show", "zzz")
    assert "has no piece 'bafy'" in error_of("deals", "plan", "delta", "--piece", "bafy")
    assert "no provider 'nobody'" in error_of("deals", "plan", "delta", "--provider", "nobody")
    assert "no project 'nemo'" in error_of("deals", "list", "nemo")
    ptolemy("set", "delta", "--deal-wallet", "lost")
    assert "there is no wallet lost" in error_of("deals", "make", "delta")
    assert not deals.select(built.catalog, project="delta")
