"""Processes that end with the one that started them, even if that was killed.

A run's process calls `end_with_command`, a step's process, which a forkserver starts, calls `end_with_run`.
"""

import multiprocessing
import os
import signal
import threading
import time

_POLL = 0.5
_GRACE = 15.0
"""Seconds that a process has to clean up, once asked to end."""


def end_with_command(parent: int) -> None:
    """For a run's process: end soon after the command that started it and waits for it.

    Args:
        parent: the command's process.

    Raises:
        SystemExit: it has ended already.
    """
    if os.getppid() != parent:
        raise SystemExit(1)
    threading.Thread(target=_watch_parent, args=(parent,), name="end with command", daemon=True).start()


def end_with_run() -> None:
    """For a step's process: end soon after the run's process that asked for it, and tidily when a terminal hangs up.

    The forkserver between the two tells nothing: it lives as long as its steps do.
    """
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else it is ignored, as nohup does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    threading.Thread(target=_watch_run, name="end with run", daemon=True).start()


def _watch_run() -> None:
    while (run := multiprocessing.parent_process()) is None:  # it is known a moment after the fork
        time.sleep(_POLL)
    run.join()
    _end()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)
