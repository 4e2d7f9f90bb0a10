"""Changing a project's settings: where its folders move to must hold the same data, or the same CARs."""

import os
from contextlib import ExitStack, suppress
from typing import Any

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog import cars, progress, projects, roots, scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import BusyError, LossError, SettingsError, StagingError
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project, parse_project
from ptolemy_core.sizes import counted
from ptolemy_core.source.filesystem import Mounts
from ptolemy_core.stages import scan
from ptolemy_core.stages.car_state import is_away
from ptolemy_core.stages.deal_settings import check_settings
from ptolemy_core.stages.merge import Expected
from ptolemy_core.stages.own_folders import own_files, own_folders
from ptolemy_core.stages.spill import Spill
from ptolemy_core.staging.area import OUTLINES, area_of


def changed(catalog: Catalog, name: str, settings: dict[str, Any]) -> Project:
    """A project as it would be with these settings.

    Raises:
        UnknownProjectError: no such project.
        SettingsError: one of them can't have that value.
    """
    return parse_project(projects.get(catalog, name).model_dump() | settings)


def change(
    catalog: Catalog,
    name: str,
    settings: dict[str, Any],
    *,
    accept_loss: bool = False,
    scanned: Progress | None = None,
) -> Project:
    """Change settings of a project, and see that a folder it moves to is the right one.

    Args:
        catalog: where the project is.
        name: the project's.
        settings: new values of some that may change.
        accept_loss: move also where files or CARs would be missing or other than before.
        scanned: called with entries of a new target_dir that were compared.

    Raises:
        UnknownProjectError: no such project.
        SettingsError: one of them can't be changed, or can't have that value; CARs aren't in the new staging_dir.
        LossError: the new target_dir doesn't hold the same data.
        BusyError: the project's folders are in use.
    """
    now = projects.get(catalog, name)
    new = changed(catalog, name, settings)
    moved = {key for key in ("target_dir", "staging_dir") if getattr(now, key) != getattr(new, key)}
    with ExitStack() as stack:
        if moved:
            stack.enter_context(require_idle(catalog, name))
            projects.prepare_folders(new)
        if "staging_dir" in moved and not accept_loss:
            require_cars(catalog, now, new)
        mounts = None
        if "target_dir" in moved and scans.has_entries(catalog, name):
            mounts = compare_target(catalog, new, accept_loss=accept_loss, scanned=scanned)
        check_settings(catalog, new, settings)
        after = projects.change(catalog, name, settings)
        if mounts is not None:
            scans.set_mounts(catalog, name, mounts)
    return after


def require_idle(catalog: Catalog, name: str) -> Any:
    """A lock that keeps scans of the project away while it is held.

    Raises:
        BusyError: something of the project is under way.
    """
    running = progress.running(catalog, name)
    if running:
        raise BusyError(f"{running[0].task} of project {name!r} is under way: wait for it, or stop it")
    return catalog.lock(f"scan {name}", busy=f"project {name!r} is being scanned: wait for that scan")


def require_cars(catalog: Catalog, now: Project, new: Project) -> None:
    """See that a new staging folder has the CARs of the old one, and the outlines of generated ones.

    Raises:
        SettingsError: it hasn't.
    """
    before, after = area_of(now), area_of(new)
    rows = [row for row in cars.rows(catalog, now.name) if not _is_away(now, row)]
    expected = [(row.file_name, row.car_size) for row in rows if not row.is_generated]
    outlines = [outline_name(row.file_name) for row in rows if row.is_generated and row.dead_at is None]
    expected += [(row.file_name, row.car_size) for row in list(roots.rows(catalog, now.name))[:1]]
    there: dict[str, int] | None = None
    drawn: dict[str, int] | None = None
    with suppress(StagingError):  # its disk is gone: all that isn't delivered must be in the new one
        there, drawn = before.sizes(), before.outlines(now.name)
    lost = [
        file
        for file, size in expected
        if (there is None or there.get(file) == size) and not after.has(file, size)
    ]
    have = after.outlines(now.name)
    lost += [
        os.path.join(OUTLINES, now.name, name)
        for name in outlines
        if (drawn is None or name in drawn) and (name not in have or (drawn and have[name] != drawn[name]))
    ]
    if lost:
        raise SettingsError(
            f"{counted(len(lost), 'CAR')} of project {now.name!r} {'is' if len(lost) == 1 else 'are'} not in "
            f"{new.staging_dir}, the first is {lost[0]}: move the files there from {now.staging_dir} first, or "
            "accept the loss (--accept-loss; over HTTP: accept_loss)"
        )


def _is_away(project: Project, row: cars.CarRow) -> bool:
    try:
        return is_away(project, row)
    except StagingError:
        return row.delivered_at is not None


def compare_target(
    catalog: Catalog, new: Project, *, accept_loss: bool, scanned: Progress | None = None
) -> Mounts:
    """See that a new target folder holds what the last scan saw; returns the file systems it is on.

    Raises:
        LossError: it doesn't.
    """
    job = scan.ScanJob(
        project=new,
        number=0,
        mounts=None,
        expected=Expected(new.rules, scans.deleted_live(catalog, new.name), ()),
        own=own_folders(catalog, new),
        own_files=own_files(catalog, new),
        emptied=frozenset(),
        accept_loss=True,
    )
    known = scans.known_pages(catalog, new.name)
    with Spill[Any](new.local_dir) as changes, Spill[Any](new.local_dir) as folders:
        found = scan.work(
            job, known, None, [changes, folders], lambda entries, _: (scanned or _ignore)(entries)
        )
    counts = found.counts
    if (counts.changed or found.losses.lost) and not accept_loss:
        lost, other = found.losses.lost, counts.changed
        what = [f"{counted(lost, 'entry is', 'entries are')} missing there"] if lost else []
        if other:
            what.append(f"{counted(other, 'entry has', 'entries have')} another size or modification time")
        raise LossError(
            f"{new.target_dir} isn't the same data as {new.name!r} was scanned from: {' and '.join(what)}. Copy it "
            "with its times (cp -a, rsync -a), or accept the loss (--accept-loss): then the next scan takes them as "
            "gone and changed"
        )
    return found.mounts


def _ignore(_: int) -> None:
    pass
