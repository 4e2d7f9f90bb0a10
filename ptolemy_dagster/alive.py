"""Whether a run waits or is under way, from what is known of it. Nothing here imports Dagster."""

import os
import re
import socket
import time

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.progress import STALE
from ptolemy_core.errors import BusyError
from ptolemy_core.status.state import ProjectState
from ptolemy_dagster.run_facts import ENDED, RunFacts

HOST_TAG, PID_TAG = ".dagster/ptolemy_host", ".dagster/ptolemy_pid"
"""Tags of runs that a command line waits for: where its process is."""

WATCHED_TAG = ".dagster/ptolemy_watched"
"""Tag of runs whose worker holds its lock: of others nothing is known."""


def run_lives(catalog: Catalog, run: RunFacts, state: ProjectState) -> bool:
    """Whether a run waits or is under way: a killed one leaves its status behind.

    Args:
        catalog: that holds the run's project.
        run: the run.
        state: of the project.
    """
    if run.status in ENDED:
        return False
    pid = run.tags.get(PID_TAG, "")  # anyone who launches a run may write anything there
    if run.tags.get(HOST_TAG) == socket.gethostname() and re.fullmatch("[1-9][0-9]{0,8}", pid, re.ASCII):
        return process_exists(int(pid))
    if run.status == "QUEUED":
        return True
    if WATCHED_TAG in run.tags and holds_lock(catalog, run.run_id):
        return True
    # it may just be starting, or take its lock again after Postgres was restarted
    return bool(state.tasks) or time.time() - run.updated < STALE


def holds_lock(catalog: Catalog, run_id: str) -> bool:
    """Whether a watched run's worker holds its lock."""
    try:
        with catalog.lock(lock_of(run_id)):
            return False
    except BusyError:
        return True


def process_exists(pid: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def lock_of(run_id: str) -> str:
    """Name of the lock that a run's worker holds."""
    return f"run {run_id}"
