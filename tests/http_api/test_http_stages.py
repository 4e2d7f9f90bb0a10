"""Launching stages over HTTP: order, one run at a time, cancel and retry."""

import socket
import threading
import uuid

import pytest

from ptolemy_dagster.alive import HOST_TAG, PID_TAG
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.http.dagster_api import Dagster
from ptolemy_dagster.run_facts import MATERIALIZE, PARTITION_TAG
from tests.http_api.client import Api
from tests.http_api.client import in_process as api_in_process
from tests.pipeline.backend import in_process


def run(api: Api, *jobs: str) -> None:
    for job in jobs:
        assert in_process(job, "delta", api.dagster.instance).success


@pytest.mark.parametrize(
    ("done", "stage", "first"),
    [
        ((), "containerize", "scan"),
        ((), "blitz", "scan"),
        ((), "verify", "scan"),
        (("scan",), "blitz", "containerize"),
        (("scan",), "verify", "containerize"),
        (("scan", "containerize"), "verify", "blitz"),
    ],
)
def test_a_stage_too_early_says_which_comes_first(
    api: Api, done: tuple[str, ...], stage: str, first: str
) -> None:
    api.create()
    run(api, *done)
    answer = api.post(f"/v0/{stage}/delta", 409)
    assert answer["type"] == "urn:ptolemy:problem:stage-order"
    assert answer["first"] == first
    assert f"POST /v0/{first}/delta first, then {stage} it" in answer["detail"]


@pytest.mark.parametrize("stage", ["scan", "containerize", "blitz", "verify", "onboard"])
def test_a_stage_of_an_unknown_project_is_404_and_launches_nothing(api: Api, stage: str) -> None:
    assert (
        api.problem(f"/v0/{stage}/nemo", 404, "POST")
        == "no project 'nemo': create it first (projects: none yet)"
    )
    assert list(api.dagster.instance.get_runs()) == []


def test_an_empty_project_has_nothing_to_build(api: Api) -> None:
    api.create(target_dir=str(api.backend.folder("hollow", {})))
    run(api, "scan")
    assert "holds no files" in api.problem("/v0/blitz/delta", 409, "POST")


def test_a_launched_run_is_in_dagster_with_its_partition(both: Api) -> None:
    both.create()
    answer = both.post("/v0/scan/delta/")
    assert answer["run_url"] == f"http://127.0.0.1:3000/runs/{answer['run_id']}"
    launched = both.dagster.instance.get_run_by_id(answer["run_id"])
    assert launched is not None
    assert (launched.job_name, launched.tags["dagster/partition"]) == ("scan", "delta")
    assert both.get(answer["status_url"])["status"] == "waiting for scan"
    assert both.get(f"/v0/runs/{answer['run_id']}")["status"] == "waiting"


def test_a_run_of_several_stages_ends_after_the_one_that_is_asked_for(api: Api) -> None:
    api.create()
    api.post("/v0/onboard/delta?until=deal", 422)
    run_id = api.post("/v0/onboard/delta?until=blitz")["run_id"]
    launched = api.dagster.instance.get_run_by_id(run_id)
    assert launched is not None
    assert launched.job_name == "onboard_until_blitz"
    assert api.get(f"/v0/runs/{run_id}")["stage"] == "onboard_until_blitz"


def test_a_second_stage_of_a_project_is_409_with_the_first_ones_run(both: Api) -> None:
    both.create()
    first = both.post("/v0/scan/delta")
    second = both.post("/v0/onboard/delta", 409)
    assert second["type"] == "urn:ptolemy:problem:running"
    assert second["run_id"] == first["run_id"]
    both.create("echo", staging_dir=str(both.backend.staging("echo")))
    both.post("/v0/scan/echo")  # another project isn't held up


def test_of_many_launches_at_once_one_wins(both: Api) -> None:
    both.create()
    statuses: list[int] = []

    def launch() -> None:
        statuses.append(both.http.post("/v0/scan/delta").status_code)

    threads = [threading.Thread(target=launch) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202] + [409] * 7
    assert len(both.dagster.instance.get_runs()) == 1


def test_a_run_is_canceled_and_run_again(api: Api) -> None:
    api.create()
    first = api.post("/v0/scan/delta")["run_id"]
    assert "is waiting: only one that failed" in api.problem(f"/v0/runs/{first}/retry", 409, "POST")
    assert api.post(f"/v0/runs/{first}/cancel")["status"] == "canceled"
    assert "ended already" in api.problem(f"/v0/runs/{first}/cancel", 409, "POST")
    assert api.get("/v0/projects/delta")["status"] == "scan canceled"
    second = api.post(f"/v0/runs/{first}/retry/")
    assert (second["stage"], second["project"]) == ("scan", "delta")
    launched = api.dagster.instance.get_run_by_id(second["run_id"])
    assert launched is not None
    assert launched.tags["ptolemy/retry_of"] == first


@pytest.mark.parametrize(
    ("job", "stage"), [("carry_on", "carry_on"), ("deal", "deal"), ("__ASSET_JOB", "materialize")]
)
def test_a_run_of_any_job_that_is_in_the_way_can_be_looked_at_and_canceled(
    api: Api, job: str, stage: str
) -> None:
    api.create()
    found = (
        defs.resolve_implicit_global_asset_job_def() if stage == MATERIALIZE else defs.resolve_job_def(job)
    )
    made = api.dagster.instance.create_run_for_job(found, tags={PARTITION_TAG: "delta"})
    assert made.job_name == job
    detail = api.problem("/v0/scan/delta", 409, "POST")
    assert made.run_id in detail
    assert f"{stage} of project 'delta' is queued" in detail
    assert api.get(f"/v0/runs/{made.run_id}")["stage"] == stage
    assert api.post(f"/v0/runs/{made.run_id}/cancel")["status"] == "canceled"
    if stage == MATERIALIZE:
        assert "re-execute it there" in api.problem(f"/v0/runs/{made.run_id}/retry", 409, "POST")
    elif stage == "carry_on":
        assert api.post(f"/v0/runs/{made.run_id}/retry")["stage"] == job


def test_a_run_whose_process_is_gone_is_lost_and_does_not_block(api: Api) -> None:
    api.create()
    run_id = api.post("/v0/scan/delta")["run_id"]
    launched = api.dagster.instance.get_run_by_id(run_id)
    assert launched is not None
    api.dagster.instance.add_run_tags(run_id, {HOST_TAG: socket.gethostname(), PID_TAG: str(2**22 + 1)})
    assert api.get(f"/v0/runs/{run_id}")["status"] == "lost"
    api.post(f"/v0/runs/{run_id}/retry")


@pytest.mark.parametrize("pid", ["", "none", "-1", "9" * 30, "١"])
def test_a_tag_that_is_no_process_is_no_failure(api: Api, pid: str) -> None:
    api.create()
    run_id = api.post("/v0/scan/delta")["run_id"]
    api.dagster.instance.add_run_tags(run_id, {HOST_TAG: socket.gethostname(), PID_TAG: pid})
    assert api.get("/v0/projects/delta")["status"] == "waiting for scan"


def test_unknown_runs_are_404(api: Api) -> None:
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        assert "no run" in api.problem(f"/v0/runs/{uuid.uuid4()}{path}", 404, method)
    assert "run_id" in api.problem("/v0/runs/nonsense", 422)


def test_without_dagster_a_launch_is_503_and_says_so(api: Api) -> None:
    api.create()
    with api_in_process(api.backend, kind=Dagster) as away:
        object.__setattr__(away.dagster, "url", "http://127.0.0.1:1")
        answer = away.http.post("/v0/scan/delta")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "Dagster's webserver at http://127.0.0.1:1" in answer.json()["detail"]
    assert not api.dagster.instance.get_runs()


def test_the_partition_is_registered_by_a_launch(api: Api) -> None:
    api.create()
    api.dagster.instance.delete_dynamic_partition("projects", "delta")  # as in another Dagster home
    api.post("/v0/scan/delta")
    assert api.dagster.instance.has_dynamic_partition("projects", "delta")
    assert len(api.dagster.instance.get_runs()) == 1
