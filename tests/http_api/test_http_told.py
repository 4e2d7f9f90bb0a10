"""What the API tells: as its published schemas say, with the reason of a failure, and when work has ended."""

from typing import Any

import pytest

from ptolemy_dagster.http import runs as run_pages
from ptolemy_dagster.http import turns
from tests.cli.test_schemas import is_as_published
from tests.http_api.client import Api
from tests.pipeline.backend import in_process


def run(api: Api, *jobs: str, fails: bool = False) -> str:
    """Run jobs of project delta; the id of the last one."""
    for job in jobs:
        done = in_process(job, "delta", api.dagster.instance, raise_on_error=not fails)
        assert done.success is not fails
    return done.run_id


def listed(api: Api) -> Any:
    (row,) = is_as_published("http-projects", api.get("/v0/projects/"))
    return row


def test_answers_are_as_published(api: Api) -> None:
    is_as_published("http-created", api.create())
    run_id = run(api, "scan", "containerize", "blitz")
    (planned,) = is_as_published("http-plan", api.get("/v0/plan/delta"))
    (car,) = is_as_published("http-carfile_meta", api.get("/v0/carfile_meta/delta"))
    assert is_as_published("http-car", api.get("/v0/carfile_meta/delta/0")) == car
    assert {name: planned[name] for name in planned.keys() & car.keys()}.items() <= car.items()
    is_as_published("http-files", api.get("/v0/files?path=a.txt"))
    is_as_published("http-project", api.get("/v0/projects/delta"))
    is_as_published("http-run", api.get(f"/v0/runs/{run_id}"))
    is_as_published("http-workers", api.get("/v0/workers"))
    is_as_published("http-launched", api.post("/v0/verify/delta"))
    is_as_published("http-problem", api.get("/v0/projects/nemo", 404))


def test_the_list_of_projects_has_the_status_that_scripts_of_ptolemy_wait_for(api: Api) -> None:
    api.create()
    assert (listed(api)["project"], listed(api)["status"]) == ("delta", "defined")
    for job, status in (
        ("scan", "completed scan"),
        ("containerize", "completed containerization"),
        ("blitz", "blitz complete"),
    ):
        run(api, job)
        assert listed(api)["status"] == status


def test_a_failure_has_its_reason_in_run_and_project(api: Api) -> None:
    api.create()
    run(api, "scan", "containerize")
    (api.backend.root / "data" / "a.txt").unlink()
    run_id = run(api, "blitz", fails=True)
    told = is_as_published("http-run", api.get(f"/v0/runs/{run_id}"))
    assert told["status"] == "failed"
    assert "a.txt" in told["reason"]
    assert told["code"]
    project = is_as_published("http-project", api.get("/v0/projects/delta"))
    assert (project["status"], project["reason"]) == ("blitz failed", told["reason"])
    assert (listed(api)["status"], listed(api)["reason"]) == ("blitz failed", told["reason"])
    (api.backend.root / "data" / "a.txt").write_bytes(b"alpha")
    run(api, "scan", "containerize", "blitz")
    assert api.get("/v0/projects/delta")["reason"] is None


def test_a_run_that_no_step_explains_says_what_dagster_says(api: Api) -> None:
    api.create()
    run_id = api.post("/v0/scan/delta")["run_id"]
    instance = api.dagster.instance
    launched = instance.get_run_by_id(run_id)
    assert launched is not None
    instance.report_run_failed(launched, "its machine burned down")
    assert api.get(f"/v0/runs/{run_id}")["reason"] == "its machine burned down"


def test_a_get_of_a_run_waits_until_the_run_has_ended(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create()
    run_id = api.post("/v0/scan/delta")["run_id"]
    describe = run_pages._described

    def and_cancel(*arguments: Any) -> Any:
        found = describe(*arguments)
        if found.status == "waiting":
            api.dagster.cancel(run_id)
        return found

    monkeypatch.setattr(run_pages, "_described", and_cancel)
    assert api.get(f"/v0/runs/{run_id}?wait=60")["status"] == "canceled"


def test_a_get_of_a_project_waits_until_no_run_is_under_way(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.create()
    assert api.get("/v0/projects/delta?wait=60")["status"] == "defined"
    run_id = api.post("/v0/scan/delta")["run_id"]
    assert api.get("/v0/projects/delta?wait=0.01")["status"] == "waiting for scan"
    ask = turns.statuses_of

    def and_cancel(*arguments: Any) -> Any:
        found = ask(*arguments)
        if found["delta"][1].under_way:
            api.dagster.cancel(run_id)
        return found

    monkeypatch.setattr(turns, "statuses_of", and_cancel)
    assert api.get("/v0/projects/delta?wait=60")["status"] == "scan canceled"


@pytest.mark.parametrize("wait", ["-1", "1e9", "soon", "nan", "inf"])
def test_a_wait_that_cannot_be_is_422(api: Api, wait: str) -> None:
    api.create()
    assert "wait" in api.problem(f"/v0/projects/delta?wait={wait}", 422)


def test_a_stage_asked_for_while_its_predecessor_runs_says_so(api: Api) -> None:
    api.create()
    first = api.post("/v0/scan/delta")["run_id"]
    told = api.post("/v0/containerize/delta", 409)
    assert (told["type"], told["run_id"]) == ("urn:ptolemy:problem:running", first)
    assert "scan of project 'delta' is queued" in told["detail"]
