"""Processes that end with the one that started them, also when that was killed and could tell nobody.

`python -m ptolemy_dagster.attached PARENT ...` is Dagster's command line as a child of the process PARENT. A step's
process, which a forkserver starts, calls `end_as_told`.
"""

import os
import signal
import sys
import threading
import time

_POLL = 0.5
_GRACE = 15.0
"""Seconds that a process has to clean up, once asked to end."""


def end_with_parent(parent: int) -> None:
    """See that this process is asked to end when its parent does, and ends soon after.

    Args:
        parent: the id of the process that started this one.
    """
    threading.Thread(target=_watch, args=(parent,), name="end with parent", daemon=True).start()


def end_as_told(parent: int) -> None:
    """For a step's process: end with its parent, and when the terminal hangs up as on SIGTERM, with all tidied."""
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else it is ignored, as nohup does
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    end_with_parent(parent)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def main() -> None:
    """Dagster's command line, in a process that ends with its parent."""
    parent = int(sys.argv.pop(1))
    if os.getppid() != parent:
        sys.exit(1)  # it ended meanwhile
    end_with_parent(parent)
    from ptolemy_dagster.internals import command_line

    command_line.run()


if __name__ == "__main__":
    main()
