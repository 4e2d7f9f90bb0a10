"""Whether a stage has anything to do, known before a run is launched, and without Dagster."""

import itertools
import os
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ptolemy_core.catalog import Catalog, cars, container_plan, containers, place, projects, roots, scans
from ptolemy_core.errors import StagingError
from ptolemy_core.sizes import counted
from ptolemy_core.stages import blitz
from ptolemy_core.stages.car_state import is_settled
from ptolemy_core.stages.order import UNTIL_OF_JOB, Stage, Until
from ptolemy_core.stages.scan import is_unchanged
from ptolemy_core.status import free_space
from ptolemy_core.status.state import project_state

if TYPE_CHECKING:
    from ptolemy_dagster.status import Runs

_COMPARED = 2_000_000
"""Entries of a project that are compared with the target before a run is launched: some 4 s a million, while the root
and the manifest of a new scan take 12. The comparison ends at the first change."""

_COMPARED_FIRST = 200_000
"""The same in the first look, after which the command looks again: more would be compared twice."""

_ONLY_SHOW = frozenset({"--json", "--wait"})
"""Options with which a command has no more to do than without."""


def seems_done(arguments: Sequence[str]) -> bool:
    """Whether a command line will probably find nothing to do: a first look, before the command is even imported.

    Only where it is cheap and can't wait: in a catalog on SQLite. Whatever is wrong, the command will tell.
    """
    command, *rest = [argument for argument in arguments if argument not in _ONLY_SHOW]
    with suppress(Exception):
        place.require_plain(place.home())
        job, rest = _job_of_run(rest) if command == "run" else (command, rest)
        if len(rest) != 1 or job == "scan" or not place.default_url().startswith("sqlite"):
            return False
        catalog = Catalog()
        try:
            return nothing_to_do(catalog, job, *rest, at_most=_COMPARED_FIRST) is not None
        finally:
            catalog.engine.dispose()
    return False


def _job_of_run(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The job of `ptolemy run` with these arguments, and those that aren't its last stage."""
    until, rest = Until.MANIFEST, []
    given = iter(arguments)
    for argument in given:
        option, equals, value = argument.partition("=")
        if option == "--until":
            until = Until(value if equals else next(given))
        else:
            rest.append(argument)
    return until.job, rest


def nothing_to_do(catalog: Catalog, job: str, name: str, *, at_most: int = _COMPARED) -> str | None:
    """Why a stage has nothing to do; None if it has, or perhaps has: a project of more than `at_most` entries has.

    Only after a run that succeeded: one that failed or was killed may have left something that the next one settles,
    and it is that run's end that `status` shows.
    """
    until = UNTIL_OF_JOB.get(job)
    finds: dict[str, Callable[[Catalog, str], str | None]] = {
        str(stage): find for stage, find in _FINDS.items()
    }
    if until is not None:
        succeeded = _last_run_succeeded(catalog, name, UNTIL_OF_JOB)
        return _done_until(until.stages, catalog, name, at_most=at_most) if succeeded else None
    if (find := finds.get(job)) is None or (why := find(catalog, name)) is None:
        return None
    return why if _last_run_succeeded(catalog, name) else None


def _last_run_succeeded(catalog: Catalog, name: str, jobs: Container[str] | None = None) -> bool:
    """Whether a project's newest run succeeded, and was of one of these jobs, if any are named."""
    runs = runs_of(catalog)
    last = None if runs is None else runs.newest(name)
    return last is not None and last.status == "SUCCESS" and (jobs is None or last.job in jobs)


def _done_until(stages: Sequence[Stage], catalog: Catalog, name: str, *, at_most: int) -> str | None:
    """Why these stages, from the scan on, have nothing to do. What needs no look at the target comes first."""
    found: dict[Stage, str] = {}
    for stage in stages[1:]:
        why = _FINDS[stage](catalog, name)
        if why is None:
            return None
        found[stage] = why
    if not is_unchanged(catalog, name, at_most):
        return None
    why = found.get(Stage.BLITZ, found[Stage.CONTAINERIZE])
    return f"nothing changed since the last scan, and {why}{' and verified' if Stage.VERIFY in found else ''}"


def _rooted(catalog: Catalog, name: str) -> str | None:
    root, scan = next(roots.rows(catalog, name), None), scans.last(catalog, name)
    is_newest = root is not None and scan is not None and root.scan == scan.number
    return f"the root of {name} is of its last scan" if is_newest else None


def _manifested(catalog: Catalog, name: str) -> str | None:
    """Whether the usual manifest is there, and nothing that it says has changed since."""
    from ptolemy_core.stages.manifest import usual_path  # only this question needs what makes manifests

    path = usual_path(projects.get(catalog, name))
    try:
        written = os.stat(path).st_mtime
    except OSError:
        return None
    times = [
        time for row in cars.rows(catalog, name) for time in (row.built_at, row.verified_at, row.delivered_at)
    ]
    times += [row.built_at for row in itertools.islice(roots.rows(catalog, name), 1)]
    return f"{path} is newer" if all(time is None or time <= written for time in times) else None


def _planned(catalog: Catalog, name: str) -> str | None:
    if container_plan.any_unplanned(catalog, name) or container_plan.any_stale(catalog, name):
        return None
    count = len(containers.rows(catalog, name))
    return f"every file of {name} is in its {counted(count, 'container')}" if count else None


def _built(catalog: Catalog, name: str) -> str | None:
    state = project_state(catalog, name)
    if not state.containers or blitz.pending(catalog, name) or state.waiting is not None:
        return None
    try:
        if free_space.missing(catalog, projects.get(catalog, name)):
            return None
    except StagingError:
        return None
    return f"{_all(state.built)} of {name} {'is' if state.built == 1 else 'are'} built"


def _verified(catalog: Catalog, name: str) -> str | None:
    project = projects.get(catalog, name)
    rows = list(cars.rows(catalog, name))
    known = all(is_settled(project, row) for row in rows)
    return (
        f"{_all(len(rows))} of {name} passed verification and {'is' if len(rows) == 1 else 'are'} unchanged since"
        if rows and known
        else None
    )


_FINDS: dict[Stage, Callable[[Catalog, str], str | None]] = {
    Stage.CONTAINERIZE: _planned,
    Stage.BLITZ: _built,
    Stage.VERIFY: _verified,
    Stage.ROOT: _rooted,
    Stage.MANIFEST: _manifested,
}
"""For each stage after the scan, why it has nothing to do; None if it has."""


def _all(cars: int) -> str:
    return "the only CAR" if cars == 1 else f"all {cars:,} CARs"


def runs_of(catalog: Catalog) -> "Runs | None":
    """Where runs are looked up: in Dagster's tables as they are, else by Dagster; None where nothing can run."""
    if catalog.read_only:
        return None
    from ptolemy_dagster.internals.run_records import RunRecords, is_usual_storage

    if is_usual_storage():
        return RunRecords(catalog)
    from ptolemy_dagster.instance import open_instance
    from ptolemy_dagster.status import InstanceRuns

    return InstanceRuns(open_instance())
