"""Processes that end with the one that started them, also when that was killed and could tell nobody.

`python -m ptolemy_dagster.attached PARENT ...` is Dagster's command line as a child of the process PARENT. A step's
process, which a forkserver starts, calls `end_with_run`.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time

_POLL = 0.5
_GRACE = 15.0
"""Seconds that a process has to clean up, once asked to end."""


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


def main() -> None:
    """Dagster's command line, in a process that ends with its parent."""
    parent = int(sys.argv.pop(1))
    if os.getppid() != parent:
        sys.exit(1)  # it ended meanwhile
    threading.Thread(target=_watch_parent, args=(parent,), name="end with parent", daemon=True).start()
    from ptolemy_dagster.internals import command_line

    command_line.run()


if __name__ == "__main__":
    main()
