"""The recipes of docs/graphql.md: each stage by Dagster's command line, GraphQL and Python client; wrong keys."""

import json
from typing import Any

import pytest
from dagster_graphql import DagsterGraphQLClient

from tests.pipeline.backend import Backend, execute_arguments, failure_of, in_process
from tests.pipeline.postgres import free_port
from tests.pipeline.processes import runs, started, wait_until
from tests.pipeline.test_stack import _LAUNCH, WORKSPACE, answers, finished, post, succeeded

_ASSETS = {"scan": "scan_result", "containerize": "container_plan", "blitz": "built_cars"}


def materialize(backend: Backend, asset: str, key: str, *, check: bool = True) -> Any:
    arguments = ("dagster", "asset", "materialize", "-m", "ptolemy_dagster.definitions", "--select", asset)
    return backend.run(*arguments, "--partition", key, check=check)


@pytest.mark.parametrize("job", ["scan", "containerize", "blitz", "verify", "onboard"])
@pytest.mark.parametrize("registered", [True, False])
def test_a_key_that_is_no_project_is_refused_at_the_first_step(
    sqlite: Backend, instance: Any, job: str, registered: bool
) -> None:
    if registered:
        instance.add_dynamic_partitions("projects", ["nemo"])
    result = in_process(job, "nemo", instance, raise_on_error=False)
    assert "no project 'nemo': create it first" in failure_of(result)
    assert len({event.step_key for event in result.all_events if event.is_step_start}) == 1


@pytest.mark.slow
def test_each_stage_by_asset_materialize_and_a_wrong_key_starts_nothing(sqlite: Backend) -> None:
    sqlite.define()
    for asset in _ASSETS.values():
        materialize(sqlite, asset, "delta")
    assert len(sqlite.cars()) == 1
    before = len(runs(sqlite))
    refused = materialize(sqlite, "scan_result", "nemo", check=False)
    assert refused.returncode != 0
    assert "nemo" in refused.stdout + refused.stderr
    assert len(runs(sqlite)) == before


@pytest.mark.slow
def test_a_wrong_key_by_job_execute_fails_at_its_first_step(sqlite: Backend) -> None:
    done = sqlite.run(*execute_arguments("onboard", "nemo"), check=False)
    assert done.returncode != 0
    assert "no project 'nemo': create it first" in done.stdout + done.stderr


@pytest.mark.slow
def test_each_stage_by_graphql_the_python_client_and_job_launch(sqlite: Backend) -> None:
    sqlite.define()
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    webserver = ("dagster_webserver", *WORKSPACE, "-h", "127.0.0.1", "-p", str(port))
    with (
        started(sqlite, *webserver) as web,
        started(sqlite, "dagster._daemon", "run", *WORKSPACE) as queue,
    ):
        wait_until(lambda: answers(f"{server}/server_info"), alive=[web, queue])

        def done(run_id: str) -> bool:
            wait_until(lambda: finished(sqlite, run_id), alive=[web, queue])
            return succeeded(sqlite, run_id)

        def by_graphql(job: str, project: str) -> str:
            selector = {
                "repositoryLocationName": "ptolemy",
                "repositoryName": "__repository__",
                "jobName": job,
            }
            tags = {"tags": [{"key": "dagster/partition", "value": project}]}
            params = {"selector": selector, "mode": "default", "executionMetadata": tags}
            answer = post(f"{server}/graphql", _LAUNCH, params=params)["launchRun"]
            assert answer["__typename"] == "LaunchRunSuccess", answer
            return str(answer["run"]["runId"])

        client = DagsterGraphQLClient("127.0.0.1", port_number=port)
        assert done(by_graphql("scan", "delta"))
        assert done(client.submit_job_execution("containerize", tags={"dagster/partition": "delta"}))
        tags = json.dumps({"dagster/partition": "delta"})
        sqlite.run("dagster", "job", "launch", *WORKSPACE, "-j", "blitz", "--tags", tags)
        assert done(sqlite.last_run().run_id)
        assert len(sqlite.cars()) == 1
        for wrong in (
            by_graphql("blitz", "nemo"),
            client.submit_job_execution("scan", tags={"dagster/partition": "nemo"}),
        ):
            assert not done(wrong)
