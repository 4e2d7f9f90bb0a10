"""How much work a step has: little is done in the run's own process, more in a process of its own.

A tag of the step says what its work grows with. Steps without the tag always get their own process: what they do may
take long and much memory, and a crash of theirs is none of the run. One small CAR is built, or read back, sooner than
a process starts, and there is no other whose work its crash could take along.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ptolemy_core.catalog import Catalog, cars, containers, projects, scans
from ptolemy_core.stages.car_state import is_settled
from ptolemy_dagster.run_facts import PARTITION_TAG

if TYPE_CHECKING:
    import dagster as dg

TAG = "ptolemy/work"
ENTRIES = {TAG: "entries"}
"""Tags of a step whose work grows with a project's entries, read from the catalog or listed by a scan."""
CARS = {TAG: "cars"}
"""Tags of a step that reads the CARs that weren't verified yet."""
BUILDS = {TAG: "builds"}
"""Tags of a step that builds CARs of the containers that have none yet."""

FEW = 20_000
"""Entries of a project whose rows take a moment."""

SMALL = 32 << 20
"""Bytes of a CAR that is built or read back in a moment."""

_READING_OPTIONS = ("again", "source")


def is_light(run: "dg.DagsterRun", key: str, tags: Mapping[str, str]) -> bool:
    """Whether a step of a run has little work. In doubt it has much."""
    kind, name = tags.get(TAG), run.tags.get(PARTITION_TAG)
    if kind is None or name is None:
        return False
    try:
        catalog = Catalog()
        try:
            if kind == "entries":
                return has_few_entries(catalog, name)
            if kind == "builds":
                return builds_little(catalog, name)
            return reads_little(catalog, name, again=_asked_to_read(run.run_config, key))
        finally:
            catalog.engine.dispose()
    except Exception:  # the step will meet it, and say it
        return False


def has_few_entries(catalog: Catalog, name: str) -> bool:
    """Whether a project has few entries, in the catalog and in its target folder."""
    if not scans.holds_at_most(catalog, name, FEW):
        return False
    project = projects.get(catalog, name)
    return not project.is_remote and _lists_at_most(project.target_dir, FEW)


def _lists_at_most(top: str, entries: int) -> bool:
    """Whether a folder has so few entries."""
    folders, found = [top], 0
    while folders:
        with os.scandir(folders.pop()) as listing:
            for entry in listing:
                found += 1
                if found > entries:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return True


def _asked_to_read(run_config: Mapping[str, Any], key: str) -> bool:
    config = run_config.get("ops", {}).get(key, {}).get("config", {})
    return any(config.get(option) for option in _READING_OPTIONS)


def builds_little(catalog: Catalog, name: str) -> bool:
    """Whether a project's next build is one small CAR at most, read from and written to folders of this machine."""
    rows = [row for row in containers.rows(catalog, name) if not row.built]
    return _is_local(catalog, name) and _is_little([(row.car_size, row.items) for row in rows])


def reads_little(catalog: Catalog, name: str, *, again: bool = False) -> bool:
    """Whether a project's next verification reads one small CAR at most, which is in a folder of this machine.

    Args:
        catalog: of the project.
        name: the project's.
        again: it reads CARs too that passed before and haven't changed.
    """
    project = projects.get(catalog, name)
    rows: Iterable[cars.CarRow] = cars.rows(catalog, name)
    unread = [(row.car_size, row.items) for row in rows if again or not is_settled(project, row)]
    return not unread or (_is_local(catalog, name) and _is_little(unread))


def _is_local(catalog: Catalog, name: str) -> bool:
    project = projects.get(catalog, name)
    return not (project.is_remote or project.stages_to_store)


def _is_little(cars: Sequence[tuple[int, int]]) -> bool:
    """Whether CARs, of so many bytes and items, are one small one at most."""
    return len(cars) <= 1 and all(size <= SMALL and items <= FEW for size, items in cars)
