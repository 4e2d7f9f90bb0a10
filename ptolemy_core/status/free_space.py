"""Free space for the next CAR: what a serial project's budget and its disk let in, and which CARs have gone missing.

A CAR counts while its file is in staging_dir, delivered or not. What else is there is others'.
"""

from dataclasses import replace

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import cars, containers, projects, waiting
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import StagingError, StagingFullError
from ptolemy_core.project import Project
from ptolemy_core.staging import output
from ptolemy_core.staging.area import area_of, part_name


def bytes_in_staging(catalog: Catalog, project: Project) -> int:
    """Bytes that the project's CARs take in the staging folder.

    Raises:
        StagingError: the folder can't be read.
    """
    sizes = area_of(project).sizes()
    names = [name for name in sizes if name.endswith(".car")]
    return sum(sizes[name] for name in cars.known_names(catalog, project.name, names))


def missing(catalog: Catalog, project: Project) -> list[CarRow]:
    """Built CARs that aren't whole in the staging folder, though nobody marked them as delivered.

    Of a generated CAR it is the outline that must be there; a dead one isn't missing.

    Raises:
        StagingError: the folder can't be read.
    """
    expected = cars.undelivered(catalog, project.name)
    area = area_of(project)
    sizes = area.sizes() if any(not row.is_generated for row in expected) else {}
    outlines = area.outlines(project.name) if any(row.is_generated for row in expected) else {}
    return [
        row
        for row in expected
        if row.dead_at is None
        and (
            outline_name(row.file_name) not in outlines
            if row.is_generated
            else sizes.get(row.file_name) != row.car_size
        )
    ]


def shortage(
    catalog: Catalog, project: Project, number: int, size: int, profile: Profile = UNIXFS_V1_2025
) -> int:
    """Bytes of the project's CARs that must leave before one of `size` bytes can be built; 0 if it fits.

    Generated CARs take no space but their outlines, and wait for none.

    Raises:
        StagingError: that wouldn't help: the CAR is larger than the budget, or the disk is full of other things.
    """
    budget = project.budget_bytes(profile)
    if budget is None or project.car_storage == cars.GENERATED:
        return 0
    if size > budget:
        raise StagingError(
            f"CAR {number:06d} of project {project.name!r} takes {size} bytes, its staging_budget is {budget}: "
            "define the project with a larger staging_budget"
        )
    there = bytes_in_staging(catalog, project)
    space = area_of(project).free_space(part_name(project.name, number))
    if space.lacks(size) > there:
        raise StagingFullError(output.too_full(project.staging_dir, size, space))
    return max(0, there + size - budget, space.lacks(size))


def still_waiting(catalog: Catalog, name: str, profile: Profile = UNIXFS_V1_2025) -> Waiting | None:
    """What a project waits for as things are now: `bytes` is 0 once it fits. None: it doesn't wait.

    Raises:
        StagingError: as `shortage`.
    """
    found = next(iter(waiting.rows(catalog, name)), None)
    if found is None or projects.get(catalog, name).car_storage == cars.GENERATED:
        return None
    left = [row for row in containers.rows(catalog, name) if not row.built]
    if not left:
        return None
    # the plan may have changed since
    following = next((row for row in left if row.number == found.number), left[0])
    project = projects.get(catalog, name)
    short = shortage(catalog, project, following.number, following.car_size, profile)
    return replace(found, number=following.number, bytes=short)
