"""The command line `ptolemy`."""

import os
import sys

from ptolemy_core.garbage import imports_kept
from ptolemy_dagster import warm


def main() -> None:
    """Entry point; also of the run's process that a command forks."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        # names of files are bytes, and text to a person: in an ASCII locale most couldn't be given or shown
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    # Python's own processes would import what is in the folder where the command was started, such as a token.py
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    try:
        with imports_kept():
            line = warm.start(sys.argv[1:])
        if line is not None:  # this is the run's process
            from ptolemy_dagster.execute import execute_when_asked

            return execute_when_asked(line)
        if warm.waits() and not _seems_done(sys.argv[1:]):
            warm.expect()
        with imports_kept():
            from ptolemy_dagster.cli.app import import_module_of
            from ptolemy_dagster.cli.app import main as run

            import_module_of(*sys.argv[1:2])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        warm.stop()
        sys.exit(130)
    try:
        run()
    finally:
        warm.stop()


def _seems_done(arguments: list[str]) -> bool:
    """Whether a command that runs a job will probably find nothing to do. A scan always has."""
    if arguments[0] == "scan":
        return False
    with imports_kept():
        from ptolemy_dagster.cli.idle import seems_done
    return seems_done(arguments)
