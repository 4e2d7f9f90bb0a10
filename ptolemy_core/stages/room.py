"""Room in the staging folder: what stands there, what a serial project's budget lets in, what has gone missing.

A CAR counts while its file stands in staging_dir, delivered or not. What else stands there is others'.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import sqlalchemy as sa

from ptolemy_core.catalog import cars, containers, projects, waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.schema import car, container
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import BusyError, NoRoomError, StagingError, StagingFullError
from ptolemy_core.project import Project
from ptolemy_core.sizes import readable
from ptolemy_core.staging import attempts, output

WAIT = 24 * 3600.0
"""Seconds to wait for another process that builds a CAR."""

_MANY = 500


def part_name(project: str, number: int) -> str:
    """What a container's CAR is called in the staging folder until it is whole."""
    return f".{project}-{number:06d}.car{attempts.PART}"


def build_lock(project: str, number: int) -> str:
    """The lock of whoever builds a container."""
    return f"build {project} {number}"


def sizes_in_staging(project: Project) -> dict[str, int]:
    """Sizes of the files in the staging folder, by name.

    Raises:
        StagingError: the folder can't be read.
    """
    found: dict[str, int] = {}
    try:
        with os.scandir(project.staging_dir) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = entry.stat(follow_symlinks=False).st_size
    except OSError as error:
        raise StagingError(
            f"staging_dir {project.staging_dir!r} can't be read ({error.strerror}): see that it is there and mounted"
        ) from error
    return found


def is_away(project: Project, row: CarRow) -> bool:
    """Whether a CAR is marked as delivered and doesn't stand in the staging folder any more."""
    return row.delivered_at is not None and not os.path.lexists(
        os.path.join(project.staging_dir, row.file_name)
    )


def held(catalog: Catalog, project: Project) -> int:
    """Bytes that the project's CARs take in the staging folder.

    Raises:
        StagingError: the folder can't be read.
    """
    sizes = sizes_in_staging(project)
    names = [name for name in sizes if name.endswith(".car")]
    total = 0
    with catalog.read() as connection:
        for low in range(0, len(names), _MANY):
            query = (
                sa.select(car.c.file_name)
                .distinct()  # the same content twice is one file
                .join(container, container.c.id == car.c.container_id)
                .where(container.c.project == project.name, car.c.file_name.in_(names[low : low + _MANY]))
            )
            total += sum(sizes[name] for name in connection.scalars(query))
    return total


def missing(catalog: Catalog, project: Project) -> list[CarRow]:
    """Built CARs that don't stand whole in the staging folder, though nobody marked them as delivered.

    Raises:
        StagingError: the folder can't be read.
    """
    kept = list(cars.select(catalog, (container.c.project == project.name) & car.c.delivered_at.is_(None)))
    sizes = sizes_in_staging(project) if kept else {}
    return [row for row in kept if sizes.get(row.file_name) != row.car_size]


def shortage(
    catalog: Catalog, project: Project, number: int, size: int, profile: Profile = UNIXFS_V1_2025
) -> int:
    """Bytes of the project's CARs that must leave before one of `size` bytes can be built; 0 if there is room.

    Raises:
        StagingError: that wouldn't help: the CAR is larger than the budget, or the disk is full of other things.
    """
    budget = project.budget_bytes(profile)
    if budget is None:
        return 0
    if size > budget:
        raise StagingError(
            f"CAR {number:06d} of project {project.name!r} takes {size} bytes, its staging_budget is {budget}: "
            "define the project with a larger staging_budget"
        )
    there = held(catalog, project)
    try:
        room = output.space(project.staging_dir, part_name(project.name, number))
    except OSError as error:
        raise StagingError(f"staging_dir {project.staging_dir!r} can't be read ({error.strerror})") from error
    if room.lacks(size) > there:
        raise StagingFullError(output.no_room(project.staging_dir, size, room))
    return max(0, there + size - budget, room.lacks(size))


@contextmanager
def reserved(catalog: Catalog, project: Project, number: int, size: int, profile: Profile) -> Iterator[None]:
    """One CAR of a serial project at a time, within its budget. A blitz has no budget, its disk is looked at later.

    Raises:
        NoRoomError: finished CARs have to leave first.
        StagingError: as `shortage`.
    """
    if project.budget_bytes(profile) is None:
        yield
        return
    with catalog.lock(f"serial {project.name}", wait=WAIT):
        drop_parts(catalog, project, but=number)
        short = shortage(catalog, project, number, size, profile)
        if short:
            raise NoRoomError(
                f"CAR {number:06d} of project {project.name!r} ({readable(size)}) waits for {short} bytes "
                f"({readable(short)}) in {project.staging_dir}: move, or deliver and remove, finished CARs",
                number,
                short,
            )
        yield


def drop_parts(catalog: Catalog, project: Project, but: int | None = None) -> None:
    """Remove what killed builds of the project left half done, save that of container `but`."""
    pattern = re.compile(re.escape(f".{project.name}-") + r"(\d+)\.car(?:\..*)?" + re.escape(attempts.PART))
    for name in sizes_in_staging(project):
        match = pattern.fullmatch(name)
        if match and int(match[1]) != but:
            with (
                suppress(BusyError, FileNotFoundError),
                catalog.lock(build_lock(project.name, int(match[1]))),
            ):
                os.unlink(os.path.join(project.staging_dir, name))


def still_waiting(catalog: Catalog, name: str, profile: Profile = UNIXFS_V1_2025) -> Waiting | None:
    """What a project waits for as things are now: `bytes` is 0 once there is room. None: it doesn't wait.

    Raises:
        StagingError: as `shortage`.
    """
    found = next(iter(waiting.rows(catalog, name)), None)
    if found is None:
        return None
    left = [row for row in containers.rows(catalog, name) if not row.built]
    if not left:
        return None
    # the plan may have changed since
    following = next((row for row in left if row.number == found.number), left[0])
    project = projects.get(catalog, name)
    short = shortage(catalog, project, following.number, following.car_size, profile)
    return replace(found, number=following.number, bytes=short)
