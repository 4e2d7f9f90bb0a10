"""The process that step processes are forked from. It imports the pipeline once, while the run does other things.

Imports nothing itself: a run's process starts it before its own imports, or forks it after them.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker, util
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


def fork() -> None:
    """Fork it from this process, which has imported the pipeline and runs no other thread."""
    context()
    resource_tracker.ensure_running()  # it stays a small process of its own
    library: Any = util
    spawn = library.spawnv_passfds
    library.spawnv_passfds = _forked
    try:
        forkserver.ensure_running()
    finally:
        library.spawnv_passfds = spawn


def _forked(path: bytes, arguments: Sequence[str], descriptors: Sequence[int]) -> int:
    """In place of a new Python: a fork, which runs the same program and has these descriptors alone."""
    program = arguments[arguments.index("-c") + 1]
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _close_others(descriptors)
        exec(program, {"__name__": "__main__"})
    except SystemExit:
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _close_others(descriptors: Sequence[int]) -> None:
    """Close all but these, and those of the standard streams."""
    low = 3
    for descriptor in sorted(descriptors):
        os.closerange(low, descriptor)
        low = max(low, descriptor + 1)
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
