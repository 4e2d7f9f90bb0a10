"""Jobs: what is measured of Ptolemy itself, each in a Python process of its own.

`python -m bench.jobs MODULE.FUNCTION JSON` calls a function of a benchmark with the JSON's arguments and prints
its answer as JSON, with the peak memory of the process.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Clock:
    """Wall and CPU seconds of a part of this process, used as a context manager."""

    wall = 0.0
    cpu = 0.0

    def __enter__(self) -> "Clock":
        self._wall, self._cpu = time.perf_counter(), _cpu()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall, self.cpu = time.perf_counter() - self._wall, _cpu() - self._cpu

    def answer(self, **more: Any) -> dict[str, Any]:
        """A job's answer: `work_wall` and `work_cpu` seconds, and more."""
        return {"work_wall": self.wall, "work_cpu": self.cpu, **more}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(size: int, run: Callable[[], object], threads: int = 1) -> dict[str, Any]:
    """Time `run`, once per thread at once, each over `size` bytes; the answer has GB/s of all together."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: None, range(threads)))
        with Clock() as clock:
            list(pool.map(lambda _: run(), range(threads)))
    return clock.answer(rate=threads * size / clock.wall / 1e9)


def peak_rss() -> int:
    """Peak resident bytes of this process alone (what a parent reports may be the parent's own)."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10


def main() -> None:
    """Run the job that the command line names."""
    module, _, name = sys.argv[1].rpartition(".")
    function = getattr(importlib.import_module(f"bench.{module}"), name)
    answer = function(**json.loads(sys.argv[2]))
    print(json.dumps({**answer, "rss": peak_rss()}))


if __name__ == "__main__":
    main()
