"""A run that is canceled over HTTP, or in the web UI, ends with its steps; what a real server does."""

import json
import os

import pytest

from ptolemy_core.stages.reservation import build_lock
from tests.http_api.live import curl, served
from tests.pipeline.backend import Backend, plan_small, tiny_files
from tests.pipeline.processes import wait_until
from tests.pipeline.test_orphans import exists, waiting_step

TERMINATE = "mutation($run: String!) { terminateRun(runId: $run) { __typename } }"


@pytest.mark.slow
def test_canceling_over_http_or_in_the_web_ui_ends_the_run_and_its_steps(sqlite: Backend) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(2)))  # one CAR would be built in the run's process
    plan_small(sqlite.catalog, "delta", 3100)
    with (
        served(sqlite) as server,
        sqlite.catalog.lock(build_lock("delta", 0)),
        sqlite.catalog.lock(build_lock("delta", 1)),
    ):
        for way in ("http", "web UI"):
            status, body = curl("-X", "POST", f"{server.url}/v0/blitz/delta")
            assert status == 202, body
            run = json.loads(body)["run_id"]
            wait_until(lambda: waiting_step(sqlite))
            step = waiting_step(sqlite)
            assert exists(step)
            if way == "http":
                assert curl("-X", "POST", f"{server.url}/v0/runs/{run}/cancel")[0] == 202
            else:
                query = json.dumps({"query": TERMINATE, "variables": {"run": run}})
                as_json = ("-H", "Content-Type: application/json")
                status, body = curl(f"{server.ui_url}/graphql", *as_json, "-d", query)
                assert "TerminateRunSuccess" in body
            wait_until(lambda: not exists(step))  # noqa: B023
            wait_until(lambda: '"canceled"' in curl(f"{server.url}/v0/runs/{run}")[1])  # noqa: B023
    assert os.listdir(sqlite.staging()) == []
