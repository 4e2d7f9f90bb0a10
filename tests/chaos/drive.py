"""Rounds of chaos: a new project, its run disturbed by kills, then run again, and held against calm CARs.

A round asks: is nothing lost, is no CAR with a receipt built again, are the CARs those of an undisturbed run
bit for bit, is nothing half-finished left in the staging folder?
"""

import hashlib
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from ptolemy_core.catalog import cars
from tests.chaos.stack import Stack
from tests.pipeline.backend import Backend
from tests.pipeline.postgres import Postgres

KINDS = {
    "step": 10,
    "run worker": 3,
    "code server": 2,
    "daemon": 2,
    "postgres": 4,
    "everything": 1,
    "cancel": 1,
}
"""What is killed, and how often relative to each other."""

_RUNNING = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_STARTS = {dg.DagsterEventType.RUN_START, dg.DagsterEventType.STEP_WORKER_STARTED}

_PATIENCE = 420.0
_RETRY = 30.0
"""Seconds in which the daemon launches a failed run again, if it does."""


@dataclass
class Tally:
    """What was done and seen."""

    kills: Counter[str] = field(default_factory=Counter)
    during: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    launches: int = 0
    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    cars: int = 0
    cancel_seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, object]:
        """All of it, for JSON."""
        return {
            key: dict(value) if isinstance(value, Counter) else value for key, value in vars(self).items()
        }


class Driver:
    """Disturbs runs of a stack; `round()` does one project."""

    def __init__(
        self,
        backend: Backend,
        stack: Stack,
        postgres: Postgres | None,
        target: Path,
        calm: dict[str, bytes],
        seed: int,
        kinds: Sequence[str] = tuple(KINDS),
    ) -> None:
        """`calm`: sha256 of each CAR of the target folder, by file name, of an undisturbed run."""
        self._backend = backend
        self._stack = stack
        self._postgres = postgres
        self._target = target
        self._calm = calm
        self._chance = random.Random(seed)
        self._kinds = [kind for kind in kinds if kind != "postgres" or postgres]
        self._seen: dict[str, int] = {}
        self._forgotten: set[str] = set()
        self.tally = Tally()

    def round(self, kills: int) -> None:
        """One project: launched, disturbed `kills` times, launched again until it is done, and checked."""
        name = f"chaos{self.tally.rounds:03d}"
        self.tally.rounds += 1
        self._seen = {}
        self._backend.define(name, self._target)
        run = self._launch(name)
        for _ in range(kills):
            self._note_built(name)
            kind = self._chance.choices(self._kinds, [KINDS[kind] for kind in self._kinds])[0]
            run = self._wait_for_work(name, run)
            time.sleep(self._chance.uniform(0, 0.5))
            self._kill(kind, name, run)
        for _ in range(4):
            self._settle(name)
            if self._newest(name).status == dg.DagsterRunStatus.SUCCESS:
                break
            self._launch(name)
        self._check(name)

    def _launch(self, name: str) -> str:
        self.tally.launches += 1
        return self._stack.launch("onboard", name)

    def _run(self, run_id: str) -> dg.DagsterRun:
        with self._backend.instance() as instance:
            run = instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def _newest(self, name: str) -> dg.DagsterRun:
        with self._backend.instance() as instance:
            return instance.get_runs(dg.RunsFilter(tags={"dagster/partition": name}), limit=1)[0]

    def _wait_for_work(self, name: str, run_id: str) -> str:
        """Wait until a step of the project runs, launching again what has ended; returns the newest launch."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and not self._pids(name)[0]:
            self._stack.keep()
            if self._run(run_id).is_finished and self._newest(name).is_finished:
                run_id = self._launch(name)
            time.sleep(0.1)
        return run_id

    def _kill(self, kind: str, name: str, run_id: str) -> None:
        steps, workers = self._pids(name)
        during = "+".join(sorted({step.split(".")[0] for step in steps.values()})) or "between steps"
        if kind == "step" and not steps:
            kind = "run worker"
        if kind == "run worker" and not workers:
            kind = "code server"
        if kind == "step":
            self._end([self._chance.choice(sorted(steps))])
        elif kind == "run worker":
            self._end(sorted(workers))
        elif kind in ("code server", "daemon"):
            self._stack.kill(kind)
        elif kind == "everything":
            self._stack.end()
        elif kind == "cancel":
            self._cancel(run_id)
        elif self._postgres:
            self._postgres.kill()
            time.sleep(self._chance.uniform(0, 8))
            self._postgres.start()
        self._stack.keep()
        self.tally.kills[kind] += 1
        self.tally.during[during] += 1

    def _end(self, pids: Sequence[int]) -> None:
        mine = self._stack.mine()
        for pid in pids:
            if pid in mine:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _cancel(self, run_id: str) -> None:
        started = time.monotonic()
        with suppress(OSError):
            self._stack.terminate(run_id)
            while not self._run(run_id).is_finished and time.monotonic() < started + _PATIENCE:
                self._stack.keep()
                time.sleep(0.1)
            self.tally.cancel_seconds.append(round(time.monotonic() - started, 1))

    def _pids(self, name: str) -> tuple[dict[int, str], set[int]]:
        """Live processes of a project's runs: steps, with their keys, and run workers."""
        steps: dict[int, str] = {}
        workers: set[int] = set()
        mine = self._stack.mine()
        with self._backend.instance() as instance:
            for run in instance.get_runs(dg.RunsFilter(tags={"dagster/partition": name}, statuses=_RUNNING)):
                for record in instance.all_logs(run.run_id, of_type=_STARTS):
                    event = record.dagster_event
                    if event is None or event.pid not in mine:
                        continue
                    if event.event_type == dg.DagsterEventType.RUN_START:
                        workers.add(event.pid)
                    elif "forkserver" in mine[event.pid]:
                        steps[event.pid] = event.step_key or ""
        return steps, workers

    def _settle(self, name: str) -> None:
        """Wait until all runs of a project have ended; a run whose processes are dead must be found out."""
        end = time.monotonic() + _PATIENCE
        quiet = None
        open_runs: list[dg.DagsterRun] = []
        while time.monotonic() < end:
            self._stack.keep()
            self._note_built(name)
            with self._backend.instance() as instance:
                runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": name}))
            open_runs = [run for run in runs if not run.is_finished]
            quiet = None if open_runs else quiet or time.monotonic()
            forgotten = [run.run_id for run in runs if _awaits_retry(run)]
            if quiet and time.monotonic() - quiet > (_RETRY if forgotten else 3):
                self.tally.ends["not retried by the daemon"] += len(set(forgotten) - self._forgotten)
                self._forgotten.update(forgotten)
                return
            time.sleep(0.5)
        states = [f"{run.run_id[:8]} {run.status.value}" for run in open_runs]
        self.tally.problems.append(f"{name}: runs never ended: {states}")

    def _note_built(self, name: str) -> None:
        """A CAR that has a receipt keeps its inode: it is never built again."""
        for row in cars.rows(self._backend.catalog, name):
            path = self._backend.staging(name) / row.file_name
            inode = path.stat().st_ino if path.exists() else -1
            first = self._seen.setdefault(row.file_name, inode)
            if first != inode or inode < 0:
                self.tally.problems.append(f"{name}: {row.file_name} was lost or built again")

    def _check(self, name: str) -> None:
        self._note_built(name)
        run = self._newest(name)
        if run.status != dg.DagsterRunStatus.SUCCESS:
            self.tally.problems.append(f"{name}: the last run ended as {run.status.value}")
        staging = self._backend.staging(name)
        found = {
            file: hashlib.sha256((staging / file).read_bytes()).digest()
            for file in self._backend.staged(name)
        }
        for file, digest in self._calm.items():
            if found.pop(file, None) != digest:
                self.tally.problems.append(f"{name}: {file} is missing or differs from an undisturbed run's")
        if found:
            self.tally.problems.append(f"{name}: left over: {sorted(found)}")
        if self._backend.cars(name) != self._calm:
            self.tally.problems.append(f"{name}: the receipts aren't those of an undisturbed run")
        with self._backend.instance() as instance:
            runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": name}))
        self.tally.runs += len(runs)
        self.tally.ends.update(run.status.value for run in runs)
        self.tally.cars += len(self._calm)
        shutil.rmtree(staging)
        staging.mkdir()


def _awaits_retry(run: dg.DagsterRun) -> bool:
    return run.tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in run.tags
