"""Each error has a stable code, which the documentation lists and programs get to see."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.errors import (
    BusyError,
    PtolemyError,
    SourceChangedError,
    SourceUnreadableError,
    StagingBudgetError,
    StagingFullError,
    UnavailableError,
)
from ptolemy_dagster.cli.launch import Outcome
from ptolemy_dagster.failures import CODE, as_failure, failure
from ptolemy_dagster.http import problems
from tests.cli.commands import error_of

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "errors.md").read_text("utf-8")


def classes() -> list[type[PtolemyError]]:
    """All error classes of both packages."""
    for package in ("ptolemy_core", "ptolemy_dagster"):
        for path in (ROOT / package).rglob("*.py"):
            if re.search(r"^class \w+\((\w+\.)?\w*Error\)", path.read_text("utf-8"), re.MULTILINE):
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found: list[type[PtolemyError]] = [PtolemyError]
    for kind in found:
        found += [below for below in kind.__subclasses__() if below not in found]
    return [kind for kind in found if kind.__module__.startswith("ptolemy_")]


ALL = classes()


def made(kind: type[PtolemyError]) -> PtolemyError:
    """An error of this class."""
    error = kind.__new__(kind)
    Exception.__init__(error, "what happened")
    return error


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_class_has_a_code_of_its_own(kind: type[PtolemyError]) -> None:
    assert re.fullmatch("[a-z]+(-[a-z]+)*", kind.__dict__["code"])
    assert [other for other in ALL if other.code == kind.code] == [kind]


def test_the_page_lists_each_code_with_its_http_status_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| .* \| (\d+) \|$", PAGE, re.MULTILINE)
    assert rows == sorted(rows)
    assert dict(rows) == {kind.code: str(problems.of_error(made(kind)).status_code) for kind in ALL}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_a_problem_of_the_http_api_has_the_code_in_its_type(kind: type[PtolemyError]) -> None:
    answer = json.loads(problems.response(problems.of_error(made(kind))).body)
    assert answer["type"] == f"urn:ptolemy:problem:{kind.code}"
    if issubclass(kind, UnavailableError):  # where the database is and why it is away is in the log alone
        assert "what happened" not in answer["detail"]
    else:
        assert answer["detail"] == "what happened"


def test_a_command_with_json_prints_the_code_on_standard_error(tmp_path: Path) -> None:
    said = json.loads(error_of("commp", tmp_path / "nowhere", "--json").splitlines()[-1])
    assert said["error"]["code"] == "source-unreadable"
    assert "nowhere can't be read" in said["error"]["message"]


def test_a_command_without_json_prints_the_message_alone(tmp_path: Path) -> None:
    said = error_of("commp", tmp_path / "nowhere")
    assert said.strip().startswith("error: ")
    assert "source-unreadable" not in said


def shown(raised: dg.Failure) -> Any:
    return raised.metadata[CODE].value


def test_a_failure_of_dagster_has_the_code_in_its_metadata() -> None:
    with pytest.raises(dg.Failure) as caught, as_failure():
        raise BusyError("someone else does this")
    assert shown(caught.value) == "busy"
    assert caught.value.description == "someone else does this"
    assert not caught.value.allow_retries


def test_a_failure_for_several_reasons_has_all_codes_once() -> None:
    errors = [
        SourceChangedError("a"),
        SourceUnreadableError("b"),
        SourceChangedError("c"),
        StagingFullError("d"),
    ]
    assert shown(failure(errors, "all of them")) == "source-changed, source-unreadable, staging-full"


def test_only_a_database_that_is_away_is_worth_a_retry() -> None:
    assert failure([UnavailableError("away")]).allow_retries
    assert not failure([UnavailableError("away"), StagingBudgetError("full", 1, 2)]).allow_retries


def test_a_failed_run_has_the_code_of_what_it_failed_with() -> None:
    assert Outcome("id", False, ["a", "b"], "log", ["busy", "busy"]).error().code == "busy"
    assert Outcome("id", False, ["a", "b"], "log", ["busy", "staging-full"]).error().code == "run-failed"
    assert Outcome("id", False, ["a"], "log").error().code == "run-failed"
