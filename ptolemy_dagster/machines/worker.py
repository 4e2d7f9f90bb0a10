"""A worker machine: joins the scheduler, runs its steps, and joins again whenever the connection was lost."""

import asyncio
import os
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from ptolemy_core.catalog import PG_URL, Catalog, projects
from ptolemy_core.catalog.workers import Heartbeat
from ptolemy_core.errors import SettingsError
from ptolemy_core.source import open_target
from ptolemy_core.status.state import project_state
from ptolemy_dagster.machines.settings import DASK, SCHEDULER

_PAUSE = 5.0
"""Seconds before a lost scheduler is tried again."""

_PATIENCE = 30.0
"""Seconds that a stopped worker has for ending its steps."""

Say = Callable[[str], None]


def check_machine(catalog: Catalog) -> None:
    """See that this machine reaches what builds need: the common database and the projects' folders.

    Raises:
        SettingsError: it doesn't; the message names all that is missing.
    """
    if not catalog.is_postgres:
        raise SettingsError(
            f"a worker needs the database that all machines share: set {PG_URL} to the same Postgres "
            "as on the orchestrator"
        )
    wrong: list[str] = []
    for name in projects.names(catalog):
        if project_state(catalog, name).done == "blitz":
            continue  # nothing left to do for it
        project = projects.get(catalog, name)
        try:
            open_target(project).require_usable()
        except SettingsError as error:
            wrong.append(f"target_dir {project.target_dir!r} of project {name!r} can't be read ({error})")
        if project.stages_to_store:
            try:
                projects.require_staging(project)
            except SettingsError as error:
                wrong.append(f"project {name!r}: {error}")
        elif not os.access(project.staging_dir, os.W_OK | os.X_OK):
            wrong.append(f"staging_dir {project.staging_dir!r} of project {name!r} can't be written")
    if wrong:
        raise SettingsError(
            "; ".join(wrong) + ": mount the shared folders at the same paths as on the orchestrator"
        )


def serve(catalog: Catalog, scheduler: str, name: str, builds: int, say: Say) -> None:
    """Work for a scheduler until SIGTERM or SIGINT; steps under way then go to other workers.

    Args:
        catalog: that all machines share.
        scheduler: its address.
        name: of this worker, unlike any other's.
        builds: steps at once, so CARs at once.
        say: told of what happens.
    """
    os.environ["PTOLEMY_BUILD_PROCESSES"] = str(builds)  # for the steps' processes
    os.environ[SCHEDULER] = scheduler
    with Heartbeat(catalog):
        asyncio.run(_serve(scheduler, name, builds, say))


async def _serve(scheduler: str, name: str, builds: int, say: Say) -> None:
    import dask

    dask.config.set(DASK)
    from ptolemy_dagster.internals import forkserver

    forkserver.context()
    stop = asyncio.Event()

    def end() -> None:
        stop.set()
        threading.Thread(target=_end_for_sure, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    with tempfile.TemporaryDirectory(prefix="ptolemy-worker-") as folder:
        while not stop.is_set():
            try:
                await _work(scheduler, name, builds, folder, stop, say)
            except (OSError, RuntimeError) as error:
                say(
                    f"the scheduler at {scheduler} can't be joined ({error.__cause__ or error}), trying again"
                )
            if not stop.is_set():
                await _first(stop.wait(), asyncio.sleep(_PAUSE))


def _end_for_sure() -> None:
    """End this process, whatever it still waits for; its steps' processes end when they see that."""
    time.sleep(_PATIENCE)
    os._exit(0)


async def _work(scheduler: str, name: str, builds: int, folder: str, stop: asyncio.Event, say: Say) -> None:
    """Be a worker until the scheduler is lost or this one is stopped."""
    from distributed import Worker

    worker: Any = Worker(
        scheduler, nthreads=builds, name=name, memory_limit=0, local_directory=folder, dashboard=False
    )
    try:
        await _first(stop.wait(), worker)
        if worker.status.name != "running":
            return
        say(f"{name} joined the scheduler at {scheduler}, {builds} builds at once")
        await _first(stop.wait(), worker.finished())
        if not stop.is_set():
            say("the scheduler is lost: builds are stopped, trying to join again")
    finally:
        await worker.close(timeout=20, reason="stopped")


async def _first(*waits: Any) -> None:
    """Wait for the first of these, raise its error, and give the others up."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


def default_name() -> str:
    """The machine's."""
    return socket.gethostname()
