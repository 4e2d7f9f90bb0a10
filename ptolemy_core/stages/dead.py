"""Which CARs are dead: their bytes come from the source, and a file there changed or is gone.

A scan settles that for generated CARs; reading one, or building it again, for files that changed behind the same size
and time. A staged CAR dies only if its file is lost and it can't be built again.

A file that is only excluded by now can still be read: its CAR lives. A CAR that died because a folder wasn't mounted,
say, lives again once its files are back as they were, unless they were planned into new containers meanwhile.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby

from ptolemy_core.catalog import cars, dead_cars, encrypted_cars, new_versions, projects, stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.dead_cars import MissedFile
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import BusyError, SourceChangedError, SourceError, StagingError
from ptolemy_core.project import Project
from ptolemy_core.source import Source, Stamp, open_target
from ptolemy_core.source.refusals import OTHER_CONTENT
from ptolemy_core.staging.area import area_of
from ptolemy_core.tree import Kind

_LOOKED_AT = 1000
"""Changed files of one CAR that are counted."""

_WAIT = 10.0
"""Seconds to wait for a scan of the project to end."""


def settle(catalog: Catalog, name: str) -> None:
    """Record which CARs of a project are dead, after a scan of it or news of a file."""
    if not dead_cars.may_change(catalog, name):
        return
    project = projects.get(catalog, name)
    source = open_target(project)
    _find_named(catalog, project)
    known = {row.container_id: row.dead_reason or "" for row in dead_cars.rows(catalog, name)}
    reasons = {row.container_id: row.dead_reason or "" for row in _still_lost(catalog, project)}
    for key, group in groupby(dead_cars.missed(catalog, name), key=lambda one: one.container_id):
        reason, unsure = _why_dead(source, list(group))
        if reason or (unsure and key in known):
            reasons[key] = reason or known[key]
    dead_cars.mark(catalog, name, reasons)


def _find_named(catalog: Catalog, project: Project) -> None:
    """Record that generated CARs have their names whose builds were killed just before they recorded it."""
    for row in encrypted_cars.unnamed(catalog, project.name):
        with suppress(StagingError):
            if row.is_generated and stored_cars.of_row(project, row).is_whole():
                encrypted_cars.set_named(catalog, row.container_id)


def _still_lost(catalog: Catalog, project: Project) -> list[CarRow]:
    """Dead CARs that were staged, and whose files aren't back."""
    lost = []
    for row in dead_cars.rows(catalog, project.name):
        if row.is_generated:
            continue
        try:
            there = stored_cars.of_row(project, row).is_whole()
        except StagingError:
            there = False
        if not there:
            lost.append(row)
    return lost


def content_changed(catalog: Catalog, name: str, file_ids: Sequence[int]) -> bool:
    """Record that files have other bytes than their CARs were built with, behind the same size and time.

    They become new versions, which are planned anew, and generated CARs that hold the old ones are dead: as if a scan
    had found the change.

    Returns:
        False if a scan of the project is under way: then the change has to be found again.
    """
    try:
        with catalog.lock(f"scan {name}", wait=_WAIT):
            new_versions.renew(catalog, file_ids)
            settle(catalog, name)
    except BusyError:
        return False
    return True


def give_up(catalog: Catalog, project: Project, row: CarRow) -> None:
    """Record that a staged CAR is dead: its file is lost, and a file that it holds isn't as it was any more.

    One that is delivered stays as it is: providers have it.
    """
    if row.is_generated or row.delivered_at is not None or row.dead_at is not None:
        return
    reason, _ = _why_dead(
        open_target(project), list(dead_cars.missed(catalog, row.project, row.container_id))
    )
    if reason:
        dead_cars.mark_one(catalog, row.container_id, f"its file is lost, and {reason}")


def _why_dead(source: Source, files: list[MissedFile]) -> tuple[str | None, bool]:
    """Why a CAR with these files can't be made again, if anything says so; and whether one can't be read now."""
    first, count, unsure = None, 0, False
    for one in files[:_LOOKED_AT]:
        reason = OTHER_CONTENT if one.other_content else ""
        try:
            if not one.other_content:
                source.check(one.path, Kind.FILE, Stamp(one.size, one.mtime))
        except SourceChangedError as error:
            reason = error.reason or str(error)
        except SourceError:
            unsure = True  # a disk or server at fault: that says nothing of the file
        if reason:
            count += 1
            first = first or f"{source.name(one.path)} {reason}"
    if first is None or count == 1:
        return first, unsure
    more = f"{count - 1:,}" + ("" if len(files) <= _LOOKED_AT else " or more")
    return f"{first}; and {more} other files of it changed", unsure


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
            with suppress(OSError, StagingError):  # it takes little space
                area_of(project).remove(stored_cars.of_row(project, row).outline_name)
