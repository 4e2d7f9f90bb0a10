"""The whole way as a user goes it: `ptolemy run`, the stages one by one, and both again with nothing to do.

Each is the command itself, with the start of Python, Dagster and all; beside it Singularity's `ez-prep`, where it is
on PATH, which makes CARs and piece CIDs of a folder: as much as `ptolemy run --until blitz`.
"""

import json
import os
import shutil
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

from bench import peers
from bench.data import Bench, big_file, small_files
from bench.measure import run
from bench.report import Section, mib

_HEAD = ("what", "wall s", "CPU s", "largest process MiB")
_STAGES = ("scan", "containerize", "blitz", "verify", "root", "manifest")
_AGAIN = ("containerize", "blitz", "verify", "root")
_MAIN = "from ptolemy_dagster.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Case:
    """A folder: how many files of how many bytes, how often it is measured at most, and its project's sizes."""

    title: str
    files: int
    size: int
    repeat: int
    sizes: tuple[str, ...] = ("--car-size", "3")


def measure(bench: Bench) -> list[Section]:
    """The benchmark, of a few folders."""
    cases = [Case("5 files of 2 bytes", 5, 2, bench.repeat)]
    if not bench.toy:
        cases.append(Case("8 large files", 8, bench.size(256 << 20, 16 << 20, 0), min(3, bench.repeat)))
        cases.append(Case("files of 4 KiB", bench.size(100_000, 5_000, 0), 4 << 10, min(2, bench.repeat)))
    if bench.full and not bench.toy:
        sizes = ("--car-size", "2", "--shard-size", "1")
        cases.append(Case("5 files of 1.14 GB", 5, 1_140_000_000, min(2, bench.repeat), sizes))
    return [_measure(bench, case) for case in cases]


def million(bench: Bench) -> Section:
    """A million files of 1 KiB, once."""
    return _measure(bench, Case("files of 1 KiB", bench.size(1_000_000, 100_000, 50), 1 << 10, 1))


def _measure(bench: Bench, case: Case) -> Section:
    section = Section(f"End to end: {case.title}" + (f", {case.files:,}" if case.files > 8 else ""), _HEAD)
    root = bench.folder / f"end-to-end-{case.files}-{case.size}"
    target = root / "target"
    target.mkdir(parents=True)
    if case.size >= 1 << 20:
        for number in range(case.files):
            big_file(target / f"{number}.bin", case.size, seed=number + 1)
    else:
        small_files(target, case.files, case.size)
    found: dict[str, list[_Cost]] = {}
    for turn in range(case.repeat):
        for what, cost in _once(root / str(turn), target, case.sizes):
            found.setdefault(what, []).append(cost)
    for what, costs in found.items():
        section.row(
            what,
            f"{statistics.median([cost.wall for cost in costs]):.2f}",
            f"{statistics.median([cost.cpu for cost in costs]):.2f}",
            mib(max(cost.rss for cost in costs)),
        )
    if not peers.find("singularity"):
        section.notes.append(peers.missing("singularity"))
    shutil.rmtree(root)
    return section


@dataclass(frozen=True, slots=True)
class _Cost:
    wall: float
    cpu: float
    rss: int

    def __add__(self, other: "_Cost") -> "_Cost":
        return _Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.rss, other.rss))


def _once(root: Path, target: Path, sizes: tuple[str, ...]) -> list[tuple[str, _Cost]]:
    """All commands once, in a home of their own; one project's CARs are removed before the next one's are made."""
    home, staging = root / "home", root / "staging"
    out: list[tuple[str, _Cost]] = []
    for name in ("built", "whole", "steps"):
        _ptolemy(home, "create", name, "-t", str(target), "-s", str(staging / name), *sizes)
    out.append(("ptolemy run --until blitz", _ptolemy(home, "run", "built", "--until", "blitz")))
    shutil.rmtree(staging / "built")
    out.append(("ptolemy run", _ptolemy(home, "run", "whole")))
    out.append(("ptolemy run, nothing to do", _ptolemy(home, "run", "whole")))
    shutil.rmtree(staging / "whole")
    costs = [(stage, _ptolemy(home, stage, "steps")) for stage in _STAGES]
    out += [(f"ptolemy {stage}", cost) for stage, cost in costs]
    total = costs[0][1]
    for _, cost in costs[1:]:
        total += cost
    out.append(("all stages one by one", total))
    out += [(f"ptolemy {stage}, nothing to do", _ptolemy(home, stage, "steps")) for stage in _AGAIN]
    out.append(("ptolemy scan, nothing new", _ptolemy(home, "scan", "steps")))
    shutil.rmtree(root)
    root.mkdir()
    if tool := peers.find("singularity"):
        goal = root / "peer"
        goal.mkdir()
        command = [tool, "ez-prep", "--output-dir", str(goal), "--database-file", "", "-j", "2", str(target)]
        out.append(("singularity ez-prep -j 2", _cost(command, {})))
        shutil.rmtree(goal)
    return out


def _ptolemy(home: Path, *arguments: str) -> _Cost:
    return _cost([sys.executable, "-c", _MAIN, *arguments], {"DAGSTER_HOME": str(home), "PTOLEMY_PG_URL": ""})


def _cost(command: list[str], env: dict[str, str]) -> _Cost:
    sample = run([sys.executable, "-m", "bench.process_tree", *command], os.environ | env)
    return _Cost(**json.loads(sample.text.splitlines()[-1]))
