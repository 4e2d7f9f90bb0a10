"""`ptolemy serve` as a process, with Dagster's webserver and daemon beside it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.pipeline.backend import Backend

_PATIENCE = 240.0


@dataclass(frozen=True)
class Served:
    """A running server: its process, and the addresses that it printed."""

    process: "subprocess.Popen[str]"
    url: str
    ui_url: str


@contextmanager
def served(backend: Backend, *options: str, **env: str) -> Iterator[Served]:
    """`ptolemy serve` on free ports while the block lasts; it must end by SIGTERM with all that it started."""
    script = "from ptolemy_dagster.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", script, "serve", "--port", "0", "--ui-port", "0", *options],
        env={**backend.env, **env},
        cwd=backend.root,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        lines = "".join(process.stdout.readline() for _ in range(2))
        found = re.findall(r"http://[^/\s]+", lines)
        assert len(found) == 3, lines
        yield Served(process, found[0], found[2])
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()


def curl(*arguments: str) -> tuple[int, str]:
    """Run curl; the status and the body of its answer."""
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "120", "-w", "\n%{http_code}", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


def wait_for_status(url: str, project: str, text: str) -> None:
    """Ask for a project's status, by curl, until it is this text."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        status, body = curl(f"{url}/v0/projects/{project}")
        if status == 200 and f'"status":"{text}"' in body:
            return
        assert "failed" not in body, body
        assert time.monotonic() < deadline, body
        time.sleep(0.25)
