"""Processes that end by themselves when the one that they work for was killed.

A killed process ends nobody: its steps would go on, and a loop that never ends would burn a core for ever. So each
step process watches its run's worker, and the worker of a command's run watches the command. A run that was launched
into the queue belongs to no process and goes on when the servers end.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable

_GRACE = 10.0
"""Seconds to clean up: remove part files, give back locks."""

_LOOK = 0.25


def watch_parent_of_forks() -> None:
    """Let each process that is forked from this one by multiprocessing end with the one that asked for it."""
    os.register_at_fork(after_in_child=lambda: _start(_parent_is_gone))


def end_with(pid: int) -> None:
    """End this process when its parent process of this id is gone."""
    _start(lambda: os.getppid() != pid)


def _parent_is_gone() -> bool:
    parent = multiprocessing.parent_process()  # of a forkserver's child: who asked the forkserver for it
    if parent is None:
        return False  # it isn't known yet
    parent.join()  # waits on a pipe, which the system closes with the parent
    return True


def _start(gone: Callable[[], bool]) -> None:
    threading.Thread(target=_watch, args=(gone,), name="orphan watch", daemon=True).start()


def _watch(gone: Callable[[], bool]) -> None:
    while not gone():
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGTERM)  # as if it were canceled
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
