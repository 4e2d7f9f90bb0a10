"""Clients at once: what was answered is there, and nothing stays unanswered; a minute of it is bench.http_load."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.http_load import Tally, press_for, served
from ptolemy_core.catalog import projects
from tests.pipeline.backend import REPOSITORY, Backend


def test_of_a_hundred_clients_no_request_that_was_answered_is_lost(backend: Backend) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.http_load", "--clients", "100", "--seconds", "5"],
        env=dict(backend.env),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "lost 0; unanswered 0" in done.stdout
    assert "projects confirmed 0" not in done.stdout
    assert re.search(r"server: \d+\.\d\d ms of processor time a request", done.stdout)


def test_a_server_that_is_killed_has_kept_every_project_whose_creation_was_answered(sqlite: Backend) -> None:
    tally = Tally()

    async def press_and_kill(url: str, pid: int) -> None:
        asyncio.get_running_loop().call_later(1.0, os.kill, pid, signal.SIGKILL)
        await press_for(url, 20, time.monotonic() + 1.2, sqlite.root, tally, reads=0)

    with served(Path(sqlite.env["DAGSTER_HOME"])) as server:
        asyncio.run(press_and_kill(server.url, server.pid))
    assert tally.confirmed
    assert tally.confirmed <= set(projects.names(sqlite.catalog))
    with sqlite.instance() as instance:
        assert tally.confirmed <= set(instance.get_dynamic_partitions("projects"))
