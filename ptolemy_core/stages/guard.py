"""What keeps a target that isn't there, or is another one, from counting as the deletion of what it held.

A disk that isn't mounted leaves an empty folder, or the one below it. Syncthing asks for a marker file in the folder,
rclone bounds the deletions of a run; here the target stays untouched, so the file system is asked who it is, and
what is gone is counted before anything is recorded.
"""

from dataclasses import dataclass

from ptolemy_core.errors import LossError, SourceChangedError
from ptolemy_core.project import Project
from ptolemy_core.sizes import counted
from ptolemy_core.source.filesystem import FileSystem, Mounts
from ptolemy_core.stages.merge import Losses
from ptolemy_core.tree import paths


@dataclass(frozen=True, slots=True)
class MissingMount:
    """A file system that isn't there any more, or is another one.

    Attributes:
        path: where it was, below the target, as a tree path; empty: the target itself.
        was: what was there at the last scan.
        now: what is there now; None: nothing is mounted.
    """

    path: bytes
    was: FileSystem
    now: FileSystem | None

    def __str__(self) -> str:
        where = paths.display(self.path) or "it"
        what = "has nothing mounted on it" if self.now is None else f"is on another file system ({self.now})"
        return f"{where} {what}, at the last scan it was {self.was}"


def missing_mounts(last: Mounts | None, now: Mounts) -> list[MissingMount]:
    """What the last scan found mounted and isn't there now, the target itself first."""
    if last is None:
        return []
    missing = [MissingMount(b"", last.top, now.top)] if now.top.is_other(last.top) else []
    for path, was in last.below.items():
        there = now.below.get(path)
        if there is None or there.is_other(was):
            missing.append(MissingMount(paths.from_slashes(path), was, there))
    return missing


def require_same_target(project: Project, last: Mounts | None, now: Mounts) -> None:
    """See that the target is on the file system that the last scan found it on.

    Raises:
        LossError: it isn't.
    """
    for one in missing_mounts(last, now):
        if not one.path:
            where = "in another store" if project.is_remote else "on another file system"
            raise LossError(
                f"target_dir {project.target_dir!r} is {where} ({one.now}) than at the last scan "
                f"({one.was}): {_remedy(project)}"
            )


def require_not_replaced(project: Project, before: Mounts, after: Mounts) -> None:
    """See that the target is the same folder after the walk as before it.

    Raises:
        SourceError: it isn't.
    """
    if (before.device, before.inode) != (after.device, after.inode):
        raise SourceChangedError(
            f"target_dir {project.target_dir!r} was replaced, mounted or unmounted while it was scanned, so "
            "nothing of this scan is recorded: check that it is the right folder, then scan again"
        )


def require_few_losses(
    project: Project, stored: int, losses: Losses, last: Mounts | None, now: Mounts
) -> None:
    """See that the target still has most of what earlier scans saw.

    Args:
        project: whose target it is.
        stored: entries that were found and can be stored.
        losses: what is gone.
        last, now: the file systems at the last scan, and at this one.

    Raises:
        LossError: it hasn't.
    """
    if not losses.lost:
        return
    if not stored:
        raise LossError(
            f"target_dir {project.target_dir!r} has no entries, and the last scan found {losses.lost:,} that "
            f"should be there: {_remedy(project)}"
        )
    for one in missing_mounts(last, now):
        lost = losses.below.get(paths.prefix_below(one.path), 0)
        if lost:
            gone = f"{counted(lost, 'entry', 'entries')} below it {'is' if lost == 1 else 'are'} gone"
            raise LossError(f"in target_dir {project.target_dir!r}, {one}, and {gone}: {_remedy(project)}")
    if losses.percent > project.max_loss:
        raise LossError(
            f"{losses.lost:,} of {losses.known - losses.intended:,} entries of target_dir {project.target_dir!r} are "
            f"gone since the last scan, {losses.percent:.0f}%, and the project's max_loss is {project.max_loss}%: "
            f"{_remedy(project)}"
        )


def _remedy(project: Project) -> str:
    question = "is it the right endpoint?" if project.is_remote else "is the right disk mounted?"
    return (
        f"{question} Nothing was recorded. If this is intended, scan with "
        f"`ptolemy scan {project.name} --accept-loss` (over HTTP and in a run's configuration: accept_loss)"
    )
