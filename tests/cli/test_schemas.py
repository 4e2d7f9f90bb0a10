"""What commands print with --json is what docs/schemas says, and HTTP has the same fields."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from ptolemy_core.catalog import Catalog
from ptolemy_core.facts.fields import exact_moment
from ptolemy_dagster.cli import launch
from ptolemy_dagster.cli.launch import Outcome
from tests.cli.commands import printed
from tests.pipeline.backend import Backend, in_process

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def is_as_published(name: str, value: Any) -> Any:
    """See that a value is valid under a published schema, and give it back."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text("utf-8"))
    jsonschema_rs.validator_for(schema, validate_formats=True).validate(value)
    return value


@pytest.fixture
def quick(delta: Backend, monkeypatch: pytest.MonkeyPatch) -> Backend:
    """A home in which stages run within this process."""

    def run_job(_: Catalog, job: str, project: str, **__: Any) -> Outcome:
        with delta.instance() as instance:
            run = in_process(job, project, instance)
        return Outcome(run.run_id, run.success, [], "")

    monkeypatch.setattr(launch, "run_job", run_job)
    return delta


def test_every_stage_prints_what_its_schema_says(quick: Backend) -> None:
    is_as_published("scan", printed("scan", "delta"))
    (planned,) = is_as_published("containerize", printed("containerize", "delta", "--dry-run"))
    assert planned["built"] is False
    is_as_published("containerize", printed("containerize", "delta"))
    (car,) = is_as_published("blitz", printed("blitz", "delta"))
    assert {"container", "items", "data_bytes", "car_size", "piece_size"} <= planned.keys() & car.keys()
    is_as_published("verify", printed("verify", "delta"))
    is_as_published("root", printed("root", "delta"))


def test_every_list_prints_what_its_schema_says(quick: Backend, tmp_path: Path) -> None:
    data = quick.root / "data"
    (data / "pipe").mkdir()
    done = is_as_published("run", printed("run", "delta"))
    assert done["root"]["root_cid"] == printed("cid", data)[0]["cid"]
    (data / "a.txt").write_bytes(b"other than before")
    is_as_published("run", printed("run", "delta"))
    assert len(is_as_published("cars", printed("cars", "delta"))) == 2
    assert len(is_as_published("root-history", printed("root", "delta", "--history"))) == 2
    found = is_as_published("find", printed("find", "a.txt", "--all"))
    versions = is_as_published("history", printed("history", "delta", "a.txt"))
    assert [one["scan"] for one in found] == [one["scan"] for one in versions]
    assert is_as_published("changes", printed("changes", "delta"))["changes"]
    is_as_published("status", printed("status"))
    is_as_published("skipped", printed("skipped", "delta"))
    is_as_published("workers", printed("workers"))
    written = is_as_published("manifest", printed("manifest", "delta", "--to", tmp_path, "--format", "csv"))
    is_as_published("manifest-summary", json.loads(Path(written["summary"]).read_text()))
    is_as_published("release", printed("release", "delta/0", "delta/1", "--note", "there"))
    is_as_published("delete-source", printed("delete-source", "delta"))
    is_as_published("delete-source", printed("delete-source", "delta", "--delete"))
    assert is_as_published("deleted", printed("deleted", "delta"))
    assert printed("cars", "delta")[0]["delivered_at"].endswith("Z")


def test_commands_without_a_stage_print_what_their_schemas_say(quick: Backend, tmp_path: Path) -> None:
    data = quick.root / "data"
    (tmp_path / "more").mkdir()
    other = ("create", "other", "-t", tmp_path / "more", "-s", tmp_path / "out")
    assert [is_as_published("create", printed(*other))["created"] for _ in range(2)] == [True, False]
    assert is_as_published("set", printed("set", "delta"))["name"] == "delta"
    is_as_published("cid", printed("cid", data))
    printed("run", "delta")
    (car,) = (Path(quick.staging()) / f"{one['piece_cid']}.car" for one in printed("cars", "delta")[:1])
    is_as_published("commp", printed("commp", car))
    assert is_as_published("extract-list", printed("extract", car, "--list"))
    is_as_published("extract", printed("extract", car, "--to", tmp_path / "one"))
    is_as_published("restore-list", printed("restore", "delta", "--list"))
    is_as_published("restore", printed("restore", "delta", "--to", tmp_path / "two"))
    is_as_published("keys-list", printed("keys", "list"))


def test_a_modification_time_no_calendar_has_is_null() -> None:
    assert exact_moment(1_500_000_000_123_456_789) == "2017-07-14T02:40:00.123456789Z"
    assert exact_moment(-1) == "1969-12-31T23:59:59.999999999Z"
    assert exact_moment(0) == "1970-01-01T00:00:00Z"
    assert exact_moment(10**21) is None
    assert exact_moment(-62_000_000_000 * 10**9) == "0005-04-19T09:46:40Z"
