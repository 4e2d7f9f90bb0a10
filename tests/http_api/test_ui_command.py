"""`ptolemy ui` as a process: web UI and daemon with one home, nothing said but where they are."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from ptolemy_dagster.alive import process_exists
from tests.pipeline.backend import Backend

LOADED = (
    "{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError { __typename } } } } }"
)


@pytest.mark.slow
def test_the_web_ui_and_its_daemon_start_quietly_and_end_together(sqlite: Backend, tmp_path: Path) -> None:
    home = Path(sqlite.env["DAGSTER_HOME"])
    errors = tmp_path / "errors"
    for name in ("token", "queue", "dagster"):  # as data may have them: they aren't imported
        (sqlite.root / f"{name}.py").write_text(f"raise ImportError('{name}.py of the folder')")
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from ptolemy_dagster.cli import main; main()", "ui", "--port", "0"],
            env=dict(sqlite.env),
            cwd=sqlite.root,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        (url,) = re.findall(r"http://\S+", process.stdout.readline())
        end = time.monotonic() + 240
        while True:
            try:
                answer = requests.get(f"{url}/server_info", timeout=60)
                break
            except requests.ConnectionError:
                assert time.monotonic() < end
                assert process.poll() is None, errors.read_text()
                time.sleep(0.5)
        assert "dagster_version" in answer.json()
        loaded = requests.post(f"{url}/graphql", json={"query": LOADED}, timeout=60).text
        assert '"RepositoryLocation"' in loaded, loaded
        assert requests.get(url, headers={"host": "evil.example"}, timeout=60).status_code == 403
        while not (home / "daemon.lock").exists() or '"pid"' not in (home / "daemon.lock").read_text():
            assert time.monotonic() < end
            time.sleep(0.5)
        daemon = int(re.findall(r'"pid": (\d+)', (home / "daemon.lock").read_text())[0])
        assert process_exists(daemon)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
    assert errors.read_text() == ""
    assert not process_exists(daemon)
    assert "enabled: false" in (home / "dagster.yaml").read_text().partition("telemetry:")[2]
