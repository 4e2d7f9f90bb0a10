"""A scheduler and workers as processes of their own, as on machines of their own."""

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ptolemy_core.catalog.workers import Worker, list_workers
from tests.machines.hosts import Host
from tests.pipeline.backend import Backend
from tests.pipeline.processes import kill_group, started_command, wait_until

HELD = Path(__file__).with_name("held")
COMMAND = ("-c", "from ptolemy_dagster.cli import main; main()")


@contextmanager
def scheduler(home: Backend, listen: str = "127.0.0.1") -> Iterator[Backend]:
    """The home as its orchestrator sees it while a scheduler runs."""
    log = home.root / "scheduler.log"
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *COMMAND, "scheduler", "--listen", listen, "--port", "0"],
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
def machine(
    home: Backend, name: str, *options: str, host: Host | None = None, hold: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker with a Dagster home of its own, that has joined; all its processes are killed at the end.

    Args:
        home: of the orchestrator, with its scheduler.
        name: the worker's.
        options: of the command.
        host: where it runs, if not beside the orchestrator.
        hold: a file that stops its builds in their middle while it exists.
    """
    own = home.root / name
    own.mkdir(exist_ok=True)
    env = {**home.env, "DAGSTER_HOME": str(own / "home")}
    command = [sys.executable, *COMMAND, "worker", "--name", name, *options]
    if host:
        command = host.command(command)
        for variable in ("PTOLEMY_PG_URL", "PTOLEMY_SCHEDULER"):
            env[variable] = re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", host.gateway, env[variable])
    if hold:
        env["TEST_HOLDS_BUILDS"] = str(hold)
        env["PYTHONPATH"] = os.pathsep.join([str(HELD), env["PYTHONPATH"]])
    with started_command(dataclasses.replace(home, root=own, env=env), *command) as process:
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
