"""Whether a stage has anything to do, known before a run is launched, and without Dagster."""

from typing import TYPE_CHECKING

from ptolemy_core.catalog import Catalog, cars, container_plan, containers, projects
from ptolemy_core.errors import StagingError
from ptolemy_core.sizes import counted
from ptolemy_core.stages import blitz
from ptolemy_core.stages.car_state import is_settled
from ptolemy_core.status import free_space
from ptolemy_core.status.state import project_state

if TYPE_CHECKING:
    from ptolemy_dagster.status import Runs


def nothing_to_do(catalog: Catalog, job: str, name: str) -> str | None:
    """Why a stage has nothing to do; None if it has, or perhaps has.

    Only after a run that succeeded: one that failed or was killed may have left something that the next one settles,
    and it is that run's end that `status` shows.
    """
    find = {"containerize": _planned, "blitz": _built, "verify": _verified}.get(job)
    runs = runs_of(catalog) if find else None
    if find is None or runs is None:
        return None
    last = runs.newest(name)
    return find(catalog, name) if last is not None and last.status == "SUCCESS" else None


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
