"""Measuring: a command as a process of its own, its wall time, CPU time and peak memory."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Value = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """One run.

    Attributes:
        wall, cpu: seconds of the whole process and its children; cpu is user + system.
        rss: peak resident bytes of the largest process.
        text: standard output.
        value: what a job of `bench.jobs` answers; empty for other commands.
        errors: the end of standard error.
    """

    wall: float
    cpu: float
    rss: int
    text: str
    value: Value = field(default_factory=dict)
    errors: str = ""

    def number(self, key: str) -> float:
        """A number of a job's answer."""
        return float(self.value[key])


Run = Callable[[], Sample]


def run(command: Sequence[str], env: Mapping[str, str] | None = None, stdin: str = os.devnull) -> Sample:
    """Run a command to its end.

    Raises:
        RuntimeError: it failed.
    """
    with open(stdin, "rb") as source, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=source, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(env or {})}
        )
        assert process.stdout is not None
        with process.stdout:
            out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        reason = errors.read().decode(errors="replace").strip()[-400:]
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}: {reason}")
    scale = 1 if sys.platform == "darwin" else 1024
    return Sample(
        wall,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * scale,
        out.decode(errors="replace"),
        {},
        reason,
    )


def job(job_name: str, /, **arguments: Any) -> Sample:
    """Run a job of `bench.jobs` in a Python process of its own."""
    sample = run([sys.executable, "-m", "bench.jobs", job_name, json.dumps(arguments)])
    value: Value = json.loads(sample.text.splitlines()[-1])
    rss = int(value.get("rss") or sample.rss)
    return Sample(sample.wall, sample.cpu, rss, sample.text, value, sample.errors)


def alternate(
    runs: Mapping[str, Run], repeat: int, before: Callable[[], object] | None = None
) -> dict[str, list[Sample]]:
    """All runs in turn, `repeat` times; `before` is called before each."""
    out: dict[str, list[Sample]] = {name: [] for name in runs}
    for _ in range(repeat):
        for name, measured in runs.items():
            if before:
                before()
            out[name].append(measured())
    return out


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeated values of one quantity."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    def text(self, digits: int = 3) -> str:
        """Median (min..max); the median alone when there is no more."""
        middle = f"{self.median:.{digits}f}"
        if len(self.values) == 1:
            return middle
        return f"{middle} ({min(self.values):.{digits}f}..{max(self.values):.{digits}f})"


def spread(samples: Sequence[Sample], of: str | Callable[[Sample], float]) -> Spread:
    """A quantity of samples: `wall`, `cpu`, `rss` of the process, a function, or the key of a job's answer."""
    if callable(of):
        return Spread(tuple(of(sample) for sample in samples))
    if of in ("wall", "cpu", "rss"):
        return Spread(tuple(float(getattr(sample, of)) for sample in samples))
    return Spread(tuple(sample.number(of) for sample in samples))
