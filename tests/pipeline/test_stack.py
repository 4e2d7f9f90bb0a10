"""Runs launched at a real Dagster stack: webserver, daemon and code location as processes of their own."""

import json
import urllib.error
import urllib.request
from typing import Any

import dagster as dg
import pytest
from dagster_graphql import DagsterGraphQLClient

from tests.pipeline.backend import REPOSITORY, Backend, plan_small, tiny_files
from tests.pipeline.postgres import free_port
from tests.pipeline.processes import runs, started, wait_until

WORKSPACE = ("-w", str(REPOSITORY / "workspace.yaml"))

_LAUNCH = """
mutation Launch($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


def post(url: str, query: str, **variables: Any) -> Any:
    """A GraphQL request's data."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def finished(backend: Backend, run_id: str) -> bool:
    with backend.instance() as instance:
        run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def succeeded(backend: Backend, run_id: str) -> bool:
    with backend.instance() as instance:
        run = instance.get_run_by_id(run_id)
    return run is not None and run.status == dg.DagsterRunStatus.SUCCESS


@pytest.mark.slow
def test_runs_launched_by_command_line_and_graphql_succeed(backend: Backend) -> None:
    target = backend.folder(files=tiny_files(3))
    for project in ("delta", "echo", "foxtrot"):
        backend.define(project, target)
        plan_small(backend.catalog, project, 3100)
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    webserver = ("dagster_webserver", *WORKSPACE, "-h", "127.0.0.1", "-p", str(port))
    daemon = ("dagster._daemon", "run", *WORKSPACE)
    with started(backend, *webserver) as web, started(backend, *daemon) as queue:
        wait_until(lambda: answers(f"{server}/server_info"), alive=[web, queue])
        tags = json.dumps({"dagster/partition": "delta"})
        backend.run("dagster", "job", "launch", *WORKSPACE, "-j", "onboard", "--tags", tags)
        launched = [backend.last_run().run_id]

        client = DagsterGraphQLClient("127.0.0.1", port_number=port)
        launched.append(client.submit_job_execution("onboard", tags={"dagster/partition": "echo"}))

        selector = {
            "repositoryLocationName": "ptolemy",
            "repositoryName": "__repository__",
            "jobName": "onboard",
        }
        pairs = [{"key": "dagster/partition", "value": "foxtrot"}]
        params = {"selector": selector, "mode": "default", "executionMetadata": {"tags": pairs}}
        answer = post(f"{server}/graphql", _LAUNCH, params=params)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        launched.append(answer["run"]["runId"])

        for run_id in launched:
            wait_until(lambda run_id=run_id: finished(backend, run_id), alive=[web, queue])  # type: ignore[misc]
            assert succeeded(backend, run_id)
        partitions = post(
            f"{server}/graphql",
            '{ assetNodeOrError(assetKey: {path: ["car"]}) { ... on AssetNode { partitionKeys } } }',
        )
    expected = {f"{project}|{n:06d}" for project in ("delta", "echo", "foxtrot") for n in range(3)}
    assert set(partitions["assetNodeOrError"]["partitionKeys"]) == expected
    for project in ("delta", "echo", "foxtrot"):
        assert len(backend.cars(project)) == 3
        assert backend.staged(project) == backend.cars(project).keys()
    assert len(runs(backend)) == 3
