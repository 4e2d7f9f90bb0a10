"""Wrong usage: an option that isn't there or a value that isn't allowed ends a command with 2, a failure with 1."""

import json
import os
from pathlib import Path

import pytest

from ptolemy_dagster.cli import output
from tests.cli.commands import error_of
from tests.pipeline.backend import Backend


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["blitzz"], "No such command 'blitzz'"),
        (["cars"], "Missing argument 'project'"),
        (["status", "--colour"], "No such option: --colour"),
        (
            ["history", "delta", "a", "--limit", "many"],
            "Invalid value for '--limit': must be a whole number, got 'many'",
        ),
        (["history", "delta", "a", "--limit=many"], "must be a whole number, got 'many'"),
        (["find", "a", "--limit", "0"], "Invalid value for '--limit': must be at least 1, got '0'"),
        (["deals", "expiring", "delta", "--days", "soon"], "must be a number, got 'soon'"),
        (
            ["set", "delta", "--max-loss", "101"],
            "max_loss must be 0 to 100 percent, got '101'; use max_loss=100",
        ),
        (["set", "delta", "--replicas", "x"], "replicas must be 1 to 50 deals, got 'x'; use a whole number"),
        (
            ["set", "delta", "--deal-days", "1"],
            "deal_days must be 180 to 1278 days, got '1'; use deal_days=180",
        ),
        (["delete", "delta", "--dry-run", "--yes"], "--dry-run and --yes exclude each other"),
        (["delete-source", "delta", "--dry-run", "--delete"], "--dry-run and --delete exclude each other"),
        (["set", "delta", "--deal-transfer", "fax"], "deal_transfer must be"),
        (["manifest", "delta", "--format", "xml"], "format must be"),
        (["serve", "--port", "70000"], "port must be 0 to 65535"),
        (["providers", "add", "p", "--engine", "fax", "--address", "t01"], "no engine 'fax'"),
        (["deals", "list", "delta", "--state", "lost"], "no state 'lost'"),
        (["status", "--watch", "--json"], "can't be combined"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_value(
    delta: Backend, arguments: list[str], message: str
) -> None:
    assert message in " ".join(error_of(*arguments, code=2).replace("│", " ").split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", "nemo"],
        ["containerize", "delta"],
        ["find", "nothing-there"],
        ["cars", "delta/7"],
        ["logs", "nemo"],
    ],
)
def test_what_is_not_there_yet_ends_with_1(delta: Backend, arguments: list[str]) -> None:
    assert "error: " in error_of(*arguments, code=1)


def test_a_project_of_other_settings_is_a_failure_and_not_a_wrong_value(delta: Backend) -> None:
    arguments = ("-t", delta.root / "data", "-s", delta.staging(), "--car-size", "30")
    assert "exists" in error_of("create", "delta", *arguments, code=1)


def test_a_target_that_is_gone_fails_the_scan_and_is_refused_to_create(
    delta: Backend, tmp_path: Path
) -> None:
    (delta.root / "data").rename(delta.root / "away")
    assert "isn't a folder" in error_of("create", "echo", "-t", delta.root / "data", "-s", tmp_path, code=2)
    assert "can't be scanned" in error_of("scan", "delta", code=1)


def test_a_bad_value_ends_with_2_where_errors_are_json(delta: Backend) -> None:
    said = json.loads(error_of("manifest", "delta", "--format", "xml", "--json", code=2).splitlines()[-1])
    assert said["error"]["code"] == "bad-value"


@pytest.mark.parametrize(
    "arguments",
    [
        ["cars", "--json"],
        ["status", "--colour", "--json"],
        ["history", "delta", "a", "--limit", "many", "--json"],
        ["restore", "delta", "--json"],
    ],
)
def test_wrong_usage_is_json_where_errors_are_json(delta: Backend, arguments: list[str]) -> None:
    assert json.loads(error_of(*arguments, code=2))["error"]["code"] == "bad-value"


def test_a_full_disk_is_json_where_errors_are_json(delta: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device", "/x")

    monkeypatch.setattr(output, "print_facts", full)
    monkeypatch.setattr(output, "print_json", full)
    said = json.loads(error_of("status", "--json"))
    assert said["error"] == {"code": "failed", "message": "'/x': No space left on device"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["prep", "data", ""],
        ["prep", "", "out"],
        ["cid", "a", ""],
        ["inspect", ""],
        ["create", "echo", "-t", "", "-s", "cars"],
        ["create", "echo", "-t", "data", "--staging-dir="],
        ["set", "delta", "-s", ""],
        ["manifest", "delta", "--to", ""],
        ["delete-source", "delta", ""],
        ["keys", "create", "my-key", "--backup", ""],
    ],
)
def test_an_empty_value_is_refused_and_never_means_the_current_folder(
    delta: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (tmp_path / "cwd" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cwd")
    assert "is empty: give a value" in error_of(*arguments, code=2)
    assert os.listdir() == ["data"]
