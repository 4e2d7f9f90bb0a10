"""The process that step processes are forked from. It imports the pipeline once, while the run does other things.

Imports nothing itself: a run's process starts it before its own imports.
"""

import multiprocessing
from multiprocessing import forkserver
from typing import Any

PRELOAD = ["dagster._core.executor.multiprocess", "ptolemy_dagster.internals.preload"]
"""What it imports, so that no step has to."""


def context() -> Any:
    """The context that step processes come from."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOAD)
    return found


def start() -> None:
    """Start it, and don't wait for it."""
    context()
    forkserver.ensure_running()
