"""The right to build a CAR: one process at a time builds a container, and a serial project one CAR at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.errors import BusyError, StagingBudgetError
from ptolemy_core.project import Project
from ptolemy_core.sizes import readable
from ptolemy_core.staging.area import area_of
from ptolemy_core.status.free_space import shortage

WAIT = 24 * 3600.0
"""Seconds to wait for another process that builds a CAR."""


def build_lock(project: str, number: int) -> str:
    """The name of the lock of whoever builds a container."""
    return f"build {project} {number}"


@contextmanager
def reserved(catalog: Catalog, project: Project, number: int, size: int, profile: Profile) -> Iterator[None]:
    """One CAR of a serial project at a time, within its budget. A blitz has no budget, its disk is looked at later.

    Raises:
        StagingBudgetError: finished CARs have to leave first.
        StagingError: as `shortage`.
    """
    if project.budget_bytes(profile) is None:
        yield
        return
    with catalog.lock(f"serial {project.name}", wait=WAIT):
        drop_parts(catalog, project, but=number)
        short = shortage(catalog, project, number, size, profile)
        if short:
            raise StagingBudgetError(
                f"CAR {number:06d} of project {project.name!r} ({readable(size)}) waits for {short} bytes "
                f"({readable(short)}) in {project.staging_dir}: move, or deliver and remove, finished CARs",
                number,
                short,
            )
        yield


def drop_parts(catalog: Catalog, project: Project, but: int | None = None) -> None:
    """Remove what killed builds and renames of the project left half done, except that of container `but`."""
    area = area_of(project)
    if but is None:
        area.drop_uploads()
        area.finish_renames(project.name, lambda name: bool(projects.get_all(catalog, [name])))
    incomplete = area.incomplete
    if incomplete is not area and not os.path.isdir(incomplete.folder):
        return  # nothing was ever built on this machine
    for number, name in incomplete.parts(project.name):
        if number != but:
            with suppress(BusyError, FileNotFoundError), catalog.lock(build_lock(project.name, number)):
                incomplete.remove(name)
