"""Runs as processes that tests watch and kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import dagster as dg

from tests.pipeline.backend import Backend

_PATIENCE = 240.0
"""Seconds after which what a test waits for won't come any more."""


@contextmanager
def started(backend: Backend, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`python -m ...` in a process group of its own, all of which is killed at the end of the block."""
    with started_python(backend, "-m", *arguments) as process:
        yield process


@contextmanager
def started_python(backend: Backend, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`started`, for any arguments of Python."""
    with started_command(backend, sys.executable, *arguments) as process:
        yield process


@contextmanager
def started_command(backend: Backend, *command: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`started`, for any command."""
    with open(backend.root / "process.log", "ab") as log:
        process = subprocess.Popen(
            command,
            env=dict(backend.env),
            cwd=backend.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        kill_group(process)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """kill -9 the process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(true: Callable[[], object], *, alive: Sequence["subprocess.Popen[bytes]"] = ()) -> None:
    """Wait until something holds; it is an error if one of the processes ends before that."""
    deadline = time.monotonic() + _PATIENCE
    while not true():
        ended = [process.args for process in alive if process.poll() is not None]
        if ended and not true():
            raise AssertionError(f"{ended} ended too early")
        assert time.monotonic() < deadline, "it didn't happen"
        time.sleep(0.02)


def runs(backend: Backend) -> list[dg.DagsterRun]:
    """All runs, the newest first."""
    with backend.instance() as instance:
        return list(instance.get_runs())


def events(backend: Backend, run_id: str, kind: dg.DagsterEventType | None = None) -> list[dg.DagsterEvent]:
    """What a run has logged so far."""
    with backend.instance() as instance:
        records = instance.all_logs(run_id, of_type=kind)
    return [record.dagster_event for record in records if record.dagster_event]


def builds(backend: Backend, project: str = "delta") -> dict[str, int]:
    """How often each CAR of a project was recorded as built, by partition."""
    count: dict[str, int] = {}
    with backend.instance() as instance:
        for record in instance.fetch_materializations(dg.AssetKey("car"), limit=10_000).records:
            key = record.partition_key or ""
            if key.startswith(f"{project}|"):
                count[key] = count.get(key, 0) + 1
    return count
