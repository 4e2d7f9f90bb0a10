"""What a scan means for generated CARs: one of which a file changed or is gone is dead.

A file that is only excluded by now can still be read: its CAR lives. A CAR that died because a folder wasn't mounted,
say, lives again once its files are back as they were, unless they were planned into new containers meanwhile.
"""

from collections.abc import Iterable
from contextlib import suppress
from itertools import groupby

from ptolemy_core.catalog import cars, dead_cars, projects, stored_cars
from ptolemy_core.catalog.dead_cars import MissedFile
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import SourceError
from ptolemy_core.project import Project
from ptolemy_core.source import Source, Stamp, open_target
from ptolemy_core.staging.area import area_of
from ptolemy_core.tree import Kind

_LOOKED_AT = 1000
"""Changed files of one CAR that are counted."""


def settle(catalog: Catalog, name: str) -> None:
    """Record which generated CARs of a project can't be generated any more, after a scan of it."""
    if not dead_cars.has_generated(catalog, name):
        return
    source = open_target(projects.get(catalog, name))
    reasons: dict[int, str] = {}
    for key, group in groupby(dead_cars.missed(catalog, name), key=lambda one: one.container_id):
        reason = _why_dead(source, list(group))
        if reason:
            reasons[key] = reason
    dead_cars.mark(catalog, name, reasons)


def _why_dead(source: Source, files: list[MissedFile]) -> str | None:
    """Why a CAR with these files can't be generated; None if all of them are as they were."""
    first, count = None, 0
    for one in files[:_LOOKED_AT]:
        try:
            source.check(one.path, Kind.FILE, Stamp(one.size, one.mtime))
        except SourceError as error:
            count += 1
            first = first or f"{source.name(one.path)} {error.reason or error}"
    if first is None or count == 1:
        return first
    more = f"{count - 1:,}" + ("" if len(files) <= _LOOKED_AT else " or more")
    return f"{first}; and {more} other files of it changed"


def drop_outlines(catalog: Catalog, project: Project, containers: Iterable[int]) -> None:
    """Remove the outlines of dead CARs whose files are planned anew: nothing needs them any more.

    Args:
        catalog: of the project.
        project: whose CARs.
        containers: of the CARs, by id.
    """
    for row in cars.of_containers(catalog, containers).values():
        same = cars.same_file(catalog, row)
        if not any(one.project == project.name and one.is_generated and one.dead_at is None for one in same):
            with suppress(OSError):  # it takes little space
                area_of(project).remove(stored_cars.of_row(project, row).kept_name)
