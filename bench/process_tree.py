"""`python -m bench.process_tree COMMAND...`: what a command costs with every process that comes of it.

Processes that outlive the command, as the one that steps are forked from does for a moment, come to this one and are
waited for. Prints JSON: seconds until the command ended, CPU seconds of all processes, and the largest one's bytes.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time

_SET_CHILD_SUBREAPER = 36


def main() -> int:
    """Run the command."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.perf_counter()
    done = subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - started
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss": 1024 * usage.ru_maxrss}))
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
