"""A scheduler and workers as processes of their own, as on machines of their own."""

import dataclasses
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pipeline.backend import Backend
from pipeline.processes import kill_group, started_python, wait_until

from ptolemy_core.catalog.workers import Worker, list_workers

COMMAND = ("-c", "from ptolemy_dagster.cli import main; main()")


@contextmanager
def scheduler(home: Backend) -> Iterator[Backend]:
    """The home as its orchestrator sees it while a scheduler runs."""
    log = home.root / "scheduler.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *COMMAND, "scheduler", "--port", "0"],
            env=dict(home.env),
            cwd=home.root,
            stderr=file,
            start_new_session=True,
        )
    try:
        found: list[str] = []

        def listens() -> bool:
            found[:] = re.findall(r"scheduler at (\S+)", log.read_text())
            return bool(found)

        wait_until(listens, alive=[process])
        yield dataclasses.replace(home, env={**home.env, "PTOLEMY_SCHEDULER": found[0]})
    finally:
        kill_group(process)


@contextmanager
def machine(home: Backend, name: str, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker with a Dagster home of its own, that has joined; all its processes are killed at the end."""
    own = home.root / name
    own.mkdir(exist_ok=True)
    env = {**home.env, "DAGSTER_HOME": str(own / "home")}
    there = dataclasses.replace(home, root=own, env=env)
    arguments = ("worker", "--name", name, *options)
    with started_python(there, *COMMAND, *arguments) as process:
        wait_until(lambda: joined(own), alive=[process])
        yield process


def joined(folder: Path) -> int:
    """How often the worker of a folder has joined the scheduler."""
    return (folder / "process.log").read_text().count("joined the scheduler")


def building(home: Backend, process: "subprocess.Popen[bytes]") -> list[Worker]:
    """What the processes of a worker build now."""
    try:
        own = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
    except psutil.NoSuchProcess:
        return []
    return [one for one in list_workers(home.catalog) if one.pid in own and one.project]
