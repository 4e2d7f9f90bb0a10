"""Deletions of sources that were cut off are brought to one end or the other: gone, or under their own names."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ptolemy_core.catalog import deletions
from ptolemy_core.catalog.deletions import Deletion
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.project import Project
from ptolemy_core.source.content import ContentReader
from ptolemy_core.source.safe_delete import DiffersError, OpenFolder, Outcome
from ptolemy_core.stages.deletion_log import DeletionLog
from ptolemy_core.stages.source_content import SourceContent


def settle(
    catalog: Catalog,
    name: str,
    folder: OpenFolder,
    content: SourceContent,
    log: DeletionLog | None = None,
) -> Iterator[tuple[bytes, str]]:
    """Settle what earlier calls left in the journal; the scan's lock is held.

    Args:
        catalog: where the project is.
        name: the project's.
        folder: its target folder.
        content: of files that are to be compared once more.
        log: where the outcome is noted.

    Yields:
        path and reason of entries for which that isn't possible.
    """
    for row in list(deletions.rows(catalog, name, unfinished=True)):
        try:
            outcome = folder.settle(row.known, row.aside, _Same(content, row), row.root)
        except DiffersError as left:
            deletions.forget(catalog, [row.file_id])
            if log is not None:
                log.write("kept", row.path, reason=str(left))
            yield row.path, str(left)
            continue
        if outcome is Outcome.UNREACHABLE:
            yield row.path, "its deletion was interrupted, and its folder can't be reached now"
            continue
        folder.sync()  # before the catalog says so
        if outcome is Outcome.DELETED:
            deletions.finish(catalog, [row.file_id])
        else:
            deletions.forget(catalog, [row.file_id])
        if log is not None:
            log.write(
                "deleted" if outcome is Outcome.DELETED else "kept", row.path, reason="interrupted before"
            )


def settle_before_scan(catalog: Catalog, project: Project, profile: Profile = UNIXFS_V1_2025) -> None:
    """Settle what an interrupted deletion left, so that a scan meets no entry under a private name."""
    if next(deletions.rows(catalog, project.name, unfinished=True), None) is None:
        return
    try:
        folder = OpenFolder(project.target_bytes)
    except OSError:
        return  # the scan says what is wrong with it
    with folder, ContentReader(profile) as reader:
        content = SourceContent.of(catalog, project, reader, profile)
        for _ in settle(catalog, project.name, folder, content):
            pass


@dataclass(frozen=True, slots=True)
class _Same:
    """Says of an open file why it isn't the one that the journal says; None if it is."""

    content: SourceContent
    row: Deletion

    def __call__(self, descriptor: int, status: os.stat_result) -> str | None:
        if self.row.cid is None:
            return "its CID isn't known"
        same = self.content.cid(descriptor, self.row) == self.row.cid
        return None if same else "its content is another"
