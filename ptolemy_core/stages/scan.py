"""Scan: the target folder streams into the catalog, merged with what earlier scans saw.

Walk and catalog are both in path order, so one pass over both finds what is new, changed and gone; what
didn't change isn't written again. A file version that is gone stays in the catalog, marked with the scan
that missed it; if a later scan meets it again as it was, it is the current one again, and keeps its CARs.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import deletions, projects
from ptolemy_core.catalog import folders as noted_folders
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.progress import Reporter
from ptolemy_core.catalog.schema import file as files
from ptolemy_core.catalog.schema import scan as scans
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.prefetch import prefetch
from ptolemy_core.source.walk import walk_batches
from ptolemy_core.stages.folders import FolderMerge
from ptolemy_core.stages.merge import Counts, Merge
from ptolemy_core.stages.settle import settle_before_scan
from ptolemy_core.tree import LEFT_OUT, Kind, paths


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What the target holds now, and what this scan changed in the catalog.

    Attributes:
        files, empty_files, links, empty_folders, left_out: entries by kind; left_out can't go into a CAR.
        data_bytes: st_size of all files together.
        largest: bytes of the largest file.
        added, changed, gone: versions that this scan found, replaced, missed; all 0 on a scan without news.
        returned: how many of those added or changed are versions that an earlier scan saw, in containers.
        retried: how many of those changed are as they were, but a blitz had dropped them.
        left_out_sample: some of the entries left out, with the reason.
        seconds: time it took.
        deleted: how many of those gone were deleted by `delete_source`, after delivery.
    """

    files: int
    empty_files: int
    links: int
    empty_folders: int
    left_out: int
    data_bytes: int
    largest: int
    added: int
    changed: int
    gone: int
    returned: int
    retried: int
    left_out_sample: list[tuple[str, str]]
    seconds: float
    deleted: int = 0


@survives_outage
def scan(catalog: Catalog, name: str, *, progress: Callable[[int, int], None] | None = None) -> ScanResult:
    """Scan the project's target folder.

    Args:
        catalog: that holds the project.
        name: the project's.
        progress: called with entries and bytes found so far.

    Raises:
        UnknownProjectError, BusyError: no such project; it is being scanned already.
        SourceError: target_dir can't be read.
    """
    project = projects.get(catalog, name)
    busy = f"project {name!r} is being scanned already: wait for that scan"
    with catalog.lock(f"scan {name}", busy=busy) as held:
        started = time.time()
        settle_before_scan(catalog, project)
        with catalog.write() as connection:
            number: int = connection.execute(
                scans.insert().values(project=name, started_at=started).returning(scans.c.id)
            ).scalar_one()
        merge = Merge(catalog, name, number, project.rules, held)
        folders = FolderMerge(catalog, name) if project.watch else None
        if folders is None:
            noted_folders.forget(catalog, name)
        emptied = deletions.folders(catalog, name)  # by deletion of sources: their CARs have them
        found = data = 0
        with Reporter(catalog, name, "scan", None) as reporter:
            note = folders.meet if folders else None
            with closing(prefetch(walk_batches(project.target_bytes, project.rules, folder=note))) as batches:
                for batch in batches:
                    kept = [e for e in batch if e.path not in emptied or e.kind != Kind.DIRECTORY]
                    merge.meet(kept)
                    found += len(kept)
                    data += sum(entry.size for entry in kept if entry.kind == Kind.FILE)
                    reporter.advance(len(kept))
                    if progress:
                        progress(found, data)
            merge.finish()
            if folders:
                folders.finish()
        with catalog.write() as connection:
            held()
            connection.execute(scans.update().where(scans.c.id == number).values(finished_at=time.time()))
        deleted = deletions.settle(catalog, name, number)
        return replace(summary(catalog, name, merge.counts, time.time() - started), deleted=deleted)


@survives_outage
def summary(catalog: Catalog, name: str, counts: Counts | None = None, seconds: float = 0.0) -> ScanResult:
    """Counts over the live rows of a project."""
    counts = counts or Counts()
    live = (files.c.project == name, files.c.gone_scan.is_(None))
    counts_of = sa.select(
        files.c.kind,
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(files.c.size), 0),
        sa.func.max(files.c.size),
        sa.func.sum(sa.case((files.c.size == 0, 1), else_=0)),
    )
    with catalog.read() as connection:
        found = connection.execute(counts_of.where(*live).group_by(files.c.kind))
        of_kind = {kind: tuple(map(int, rest)) for kind, *rest in found}
        sample = list(left_out(connection, name, limit=20))
    none = (0, 0, 0, 0)
    number, data, largest, empty = of_kind.get(Kind.FILE, none)
    return ScanResult(
        files=number,
        empty_files=empty,
        links=of_kind.get(Kind.SYMLINK, none)[0],
        empty_folders=of_kind.get(Kind.DIRECTORY, none)[0],
        left_out=of_kind.get(LEFT_OUT, none)[0],
        data_bytes=data,
        largest=largest,
        added=counts.added,
        changed=counts.changed,
        gone=counts.gone,
        returned=counts.returned,
        retried=counts.retried,
        left_out_sample=sample,
        seconds=seconds,
    )


def left_out(connection: Connection, name: str, limit: int) -> Iterator[tuple[str, str]]:
    """Entries of the last scan that can't go into a CAR: path for people, and the reason."""
    query = (
        sa.select(files.c.path, files.c.reason)
        .where(files.c.project == name, files.c.gone_scan.is_(None), files.c.kind == LEFT_OUT)
        .order_by(files.c.path)
        .limit(limit)
    )
    for path, reason in connection.execute(query):
        yield paths.display(path), reason
