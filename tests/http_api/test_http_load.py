"""Clients at once: what was answered is there, and nothing stays unanswered; a minute of it is bench.http_load."""

import subprocess
import sys

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
