"""Skip: files that can't be built are dropped from their container and recorded; it gets a new layout.

What is left is the container that there would be if the dropped files had never been in it.
"""

from ptolemy_core.catalog import container_plan, containers, scans
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import SourceError, SourceUnreadableError
from ptolemy_core.keys import KeyProvider
from ptolemy_core.layout.plan import measured
from ptolemy_core.project import Project
from ptolemy_core.source import Inputs, open_target
from ptolemy_core.stages.build_job import BuildJob
from ptolemy_core.stages.guard import missing_mounts


def drop_unreadable(
    catalog: Catalog, job: BuildJob, error: SourceError, keys: KeyProvider | None = None
) -> ContainerRow | None:
    """Drop the item that a build failed on, and all others of the container that aren't what the scan saw.

    Args:
        catalog: of the project, whose on_error is "skip".
        job: the build that failed; its container has no receipt, and its lock is held.
        error: that the build ended with.
        keys: of encrypted projects; by default as configured.

    Returns:
        the container without them; None if nothing is left of it, so that it is no more.

    Raises:
        SourceError: the error, if it is about no item; or the target folder itself is gone, empty or another one.
        ReceiptError: the plan changed meanwhile.
    """
    if error.item is None:
        raise error
    project, row, content = job.project, job.container, job.content
    _require_target(catalog, project)
    form = job.car_form(keys)
    bad = _unreadable(job.inputs(form)) | {error.item: error.reason}
    kept = [item for item in range(len(content.items)) if item not in bad]
    shards, ids = content.items.shards, containers.file_ids(catalog, row.id)
    dropped = [
        container_plan.Dropped(int(ids[item]), int(shards[item]), reason)
        for item, reason in sorted(bad.items())
    ]
    planned = measured(form.items.take(kept), 0, len(kept), job.profile) if kept else None
    left = container_plan.Left(planned, content.items.take(kept), ids[kept])
    container_plan.drop(catalog, project.name, row, left, dropped)
    return next((new for new in containers.rows(catalog, project.name) if new.number == row.number), None)


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
    """A disk that isn't mounted must not drop all its files, nor must another disk or folder in its place."""
    target = open_target(project)
    try:
        last, now = scans.last_mounts(catalog, project.name), target.mounts()
        if target.is_empty():
            how = "is empty now"
        elif missing := missing_mounts(last, now):
            how = f"is another one than at the last scan: {missing[0]}"
        elif last is not None and last.inode and last.inode != now.inode:
            how = "is another folder than at the last scan"
        else:
            return
    except SourceError as error:
        cause = error.__cause__
        how = f"can't be read ({cause.strerror})" if isinstance(cause, OSError) else f"can't be used: {error}"
    raise SourceUnreadableError(
        f"target_dir {project.target_dir!r} {how}, so no file is skipped: "
        "mount it and run blitz again, or scan again if its files are gone for good"
    )
