"""The command line `ptolemy`."""

import os
import sys

from ptolemy_core.garbage import imports_kept


def main() -> None:
    """Entry point."""
    if sys.getfilesystemencoding() != "utf-8" and os.environ.get("PYTHONUTF8") != "1":
        # names of files are bytes, and text to a person: in an ASCII locale most couldn't be given or shown
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    try:
        with imports_kept():
            from ptolemy_dagster.cli.app import import_module_of
            from ptolemy_dagster.cli.app import main as run

            import_module_of(*sys.argv[1:2])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    run()
