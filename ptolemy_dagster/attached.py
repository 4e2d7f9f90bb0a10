"""Processes that end with the one that started them, also when that was killed and could tell nobody.

`python -m ptolemy_dagster.attached PARENT ...` is Dagster's command line as a child of the process PARENT. A step's
process, which a forkserver starts, calls `end_as_told`.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_POLL = 0.5
_GRACE = 15.0
"""Seconds that a process has to clean up, once asked to end."""


def end_with_parent(parent: int) -> None:
    """See that this process is asked to end when its parent does, and ends soon after.

    Args:
        parent: the id of the process that started this one.
    """
    _start(lambda: os.getppid() != parent)


def end_as_told() -> None:
    """For a step's process: end with its run's, and when the terminal hangs up as on SIGTERM, with all tidied."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else it is ignored, as nohup does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    _start(_run_is_gone)


def _run_is_gone() -> bool:
    # the forkserver is no sign of it: it lives as long as a process that it forked
    run = multiprocessing.parent_process()
    if run is None:
        return False  # this process was just forked and doesn't know yet
    run.join()  # waits on a pipe, which the system closes when the run's process ends, however it does
    return True


def _start(gone: Callable[[], bool]) -> None:
    threading.Thread(target=_watch, args=(gone,), name="end with parent", daemon=True).start()


def _watch(gone: Callable[[], bool]) -> None:
    while not gone():
        time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Dagster's command line, in a process that ends with its parent."""
    parent = int(sys.argv.pop(1))
    if os.getppid() != parent:
        sys.exit(1)  # it ended meanwhile
    end_with_parent(parent)
    from dagster._cli import cli

    cli(prog_name="dagster", auto_envvar_prefix="DAGSTER_CLI")


if __name__ == "__main__":
    main()
