"""The tutorial: `ptolemy serve` in one terminal, five curl commands in another."""

import json
import shutil
import subprocess

import pytest

from tests.http_api.live import curl, served, wait_for_status
from tests.pipeline.backend import Backend

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl isn't installed")


@pytest.mark.slow
def test_five_curl_commands_on_a_fresh_home(backend: Backend) -> None:
    body = {
        "shard_size": 1,
        "staging_dir": str(backend.staging()),
        "target_dir": str(backend.folder()),
        "car_size": 2,
        "encryption": "None",
        "load_type": "blitz",
    }
    with served(backend) as server:
        api = f"{server.url}/v0"
        status, told = curl("-X", "POST", f"{api}/create/delta", "-d", json.dumps(body))
        assert (status, json.loads(told)["name"]) == (200, "delta")
        for stage, then in (
            ("scan", "scan completed"),
            ("containerize", "containerization complete"),
            ("blitz", "blitz complete"),
        ):
            status, told = curl("-X", "POST", f"{api}/{stage}/delta/")
            assert status == 202, told
            run = json.loads(told)
            assert run["run_url"] == f"{server.ui_url}/runs/{run['run_id']}"
            wait_for_status(server.url, "delta", then)
        status, told = curl(f"{api}/carfile_meta/delta")
        (car,) = json.loads(told)
        assert (backend.staging() / car["file_name"]).stat().st_size == car["size"]
        assert car["file_name"] == f"{car['commp']}.car"
        assert curl(f"{server.ui_url}/server_info")[0] == 200  # the web UI that the links lead to
        assert curl("-X", "POST", f"{api}/scan/nemo")[0] == 404
        with backend.instance() as instance:
            jobs = [run.job_name for run in instance.get_runs()]
        assert jobs == ["blitz", "containerize", "scan"]
    left = subprocess.run(["pgrep", "-f", str(backend.root / "home")], capture_output=True, text=True).stdout
    assert left == "", "processes were left behind"
