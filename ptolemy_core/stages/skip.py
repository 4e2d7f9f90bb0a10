"""Skip: what can't be built is dropped from its container, with a record of it, and the container laid out anew.

What is left is the container that there would be if the dropped files had never been in it.
"""

import os
import time

from ptolemy_core.catalog import bulk, containers, scans
from ptolemy_core.catalog.containers import ContainerRow, Content
from ptolemy_core.catalog.schema import skipped
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.errors import ReceiptError, SourceError, SourceUnreadableError
from ptolemy_core.layout.plan import measured
from ptolemy_core.project import Project
from ptolemy_core.source import Inputs, beneath, filesystem, open_source
from ptolemy_core.stages.guard import missing_mounts

_COLUMNS = ("project", "file_id", "container", "shard", "reason", "skipped_at")


def drop_unreadable(
    catalog: Catalog, project: Project, row: ContainerRow, error: SourceError, profile: Profile
) -> ContainerRow | None:
    """Drop the item that a build failed on, and all others of the container that aren't what the scan saw.

    Args:
        catalog: that holds the project.
        project: whose on_error is "skip".
        row: the container, which isn't built; its lock is held.
        error: that the build ended with.
        profile: of the DAG.

    Returns:
        the container without them; None if nothing is left of it, so that it is no more.

    Raises:
        SourceError: the error, if it is about no item; or the target folder itself is gone or empty.
        ReceiptError: the plan changed meanwhile.
    """
    if error.item is None:
        raise error
    _require_target(catalog, project)
    content = containers.content(catalog, row.id)
    bad = _unreadable(source_of(project, content)) | {error.item: error.reason}
    kept = [item for item in range(len(content.items)) if item not in bad]
    items = content.items.take(kept)
    ids = content.file_ids[kept]
    planned = measured(items, 0, len(kept), profile) if kept else None
    now = time.time()
    shards = content.items.shards
    records = [
        (project.name, int(content.file_ids[item]), row.number, int(shards[item]), reason, now)
        for item, reason in sorted(bad.items())
    ]
    with catalog.write() as connection:
        if not containers.replace(connection, project.name, row, planned, items, ids):
            raise ReceiptError(
                f"the plan of container {row.number} changed while its CAR was built: run blitz again"
            )
        bulk.insert(connection, skipped, _COLUMNS, records)
    return next((new for new in containers.rows(catalog, project.name) if new.number == row.number), None)


def source_of(project: Project, content: Content) -> Inputs:
    """What a build of this content reads."""
    return Inputs(open_source(project.target_bytes), content.items, content.stamps, content.targets)


def _unreadable(inputs: Inputs) -> dict[int, str]:
    """The items that can't be opened or aren't what the scan saw, with the reason."""
    bad = {}
    for item in range(len(inputs.items)):
        try:
            inputs.check(item)
        except SourceError as error:
            bad[item] = error.reason
    return bad


def _require_target(catalog: Catalog, project: Project) -> None:
    """A disk that isn't mounted must not drop all its files, nor must another disk in its place."""
    try:
        with beneath.opened(project.target_bytes) as folder:
            listed = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(listed) as entries:
                is_empty = next(entries, None) is None
        finally:
            os.close(listed)
        missing = missing_mounts(
            scans.last_mounts(catalog, project.name), filesystem.look(project.target_bytes)
        )
        if not is_empty and not missing:
            return
        how = "is empty now" if is_empty else f"is another one than at the last scan: {missing[0]}"
    except OSError as error:
        how = f"can't be read ({error.strerror})"
    raise SourceUnreadableError(
        f"target_dir {project.target_dir!r} {how}, so no file is skipped: "
        "mount it and run blitz again, or scan again if its files are gone for good"
    )
