"""Showing what a run does as it goes on: the stages of its job, read from the catalog."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.progress import RunningTask, Work
from ptolemy_core.sizes import counted
from ptolemy_core.stages.order import IN_A_ROW, Until
from ptolemy_core.status.rate import blitz_progress, task_progress
from ptolemy_core.status.state import ProjectState, project_state
from ptolemy_dagster.cli.stage_bars import Amount, StageBars
from ptolemy_dagster.warm import Process

_POLL = 0.5
_SCAN, _PLAN, _BUILD, _VERIFY, _ROOT, _MANIFEST = ALL = (
    "scanning",
    "planning",
    "building CARs",
    "verifying",
    "data set root",
    "manifest",
)
_OF_STAGE = dict(zip(IN_A_ROW, ALL, strict=True))
_OF_JOB = {str(stage): (shown,) for stage, shown in _OF_STAGE.items()} | {
    until.job: tuple(_OF_STAGE[stage] for stage in until.stages) for until in Until
}
_OF_WORK = {Work.SCAN: _SCAN, Work.VERIFY: _VERIFY, Work.ROOT: _ROOT, Work.MANIFEST: _MANIFEST}


@dataclass(frozen=True, slots=True)
class RunProcess:
    """A run's process, and whether the run succeeded once that has ended: its exit code doesn't say."""

    process: Process
    succeeded: Callable[[], bool]


def watch(run: RunProcess, catalog: Catalog, job: str, project: str, quiet: bool) -> None:
    """Show a run's stages until its process ends; `quiet`: show nothing."""
    process = run.process
    if quiet:
        process.wait()
        return
    start = project_state(catalog, project)
    names = _OF_JOB.get(job, (job,))
    scanning = False
    with StageBars(names) as bars:
        bars.show(names[0], Amount())
        while process.poll() is None:
            now = project_state(catalog, project)
            shown = stages_of(start, now)
            if scanning and not shown and now.unplanned and _PLAN in names:
                shown = {_PLAN: Amount()}
            scanning = scanning or _SCAN in shown
            for name in names:
                if name in shown:
                    bars.show(name, shown[name])
            with suppress(subprocess.TimeoutExpired):
                process.wait(_POLL)
        if run.succeeded():
            if _BUILD in names and (amount := _building(start, project_state(catalog, project))):
                bars.show(_BUILD, amount)
            bars.finish()


def stages_of(start: ProjectState, now: ProjectState) -> dict[str, Amount]:
    """The stages that are under way, and how far each is since `start`."""
    found: dict[str, Amount] = {}
    for task in now.tasks:
        if task.task.work in _OF_WORK:
            found[_OF_WORK[task.task.work]] = _amount(task)
    if amount := _building(start, now) or _hashing(now):
        found[_BUILD] = amount
    return found


def _hashing(now: ProjectState) -> Amount | None:
    """Bytes of files that are hashed before their CARs are built; None if none are."""
    tasks = [task for task in now.tasks if task.task.work is Work.FILE_SHA256]
    if not tasks:
        return None
    total = sum(task.total or 0 for task in tasks)
    return Amount(sum(task.done for task in tasks), total, note="SHA-256 of files")


def _amount(task: RunningTask) -> Amount:
    progress = task_progress(task)
    return Amount(task.done, task.total, progress.rate, task.task.work.unit == "bytes", sampled=True)


def _building(start: ProjectState, now: ProjectState) -> Amount | None:
    """Bytes of CARs that were built since `start`, of those that had to be; None before the first."""
    progress = blitz_progress(now)
    total, done = now.car_bytes - start.built_bytes, progress.done - start.built_bytes
    if done <= 0:
        return None
    note = f"{now.built:,} of {counted(now.containers, 'CAR')}"
    return Amount(min(done, total), total, progress.rate, note=note, sampled=True)
