"""Compares what a CAR holds with the files it was made of, as they are now: verification's `--source`.

The source is read again and each of its ranges hashed against the leaf that the CAR has for it; the CAR's
leaves themselves are verified before. Versions that were superseded or are gone, as a scan saw, aren't compared.
"""

import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog import shards
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.delivery import SourceFault
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.project import Project
from ptolemy_core.reader.findings import CarError
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.compare import compare
from ptolemy_core.restore.dag import leaves, read_node
from ptolemy_core.stages.car_state import area_of
from ptolemy_core.tree import Kind, paths

MAX_DIFFERENCES = 100
"""Differences of one CAR that are named."""

_FILE = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison of one CAR found.

    Attributes:
        problems: sentences; not more than MAX_DIFFERENCES and one that says how many there are.
        faults: all differences; None if the CAR couldn't be opened, so that nothing was compared.
        unread: positions of shards that couldn't be compared, since the source can't be read; not among the faults.
        compared: entries that were compared.
        outdated: entries that weren't, since the last scan saw another version, or none.
    """

    problems: list[str]
    faults: list[SourceFault] | None
    compared: int = 0
    outdated: int = 0
    unread: frozenset[int] = frozenset()


def compare_with_source(
    catalog: Catalog, project: Project, row: CarRow, progress: Callable[[int], None]
) -> Comparison:
    """Compare the files in target_dir with what a CAR holds of them.

    Args:
        catalog: that holds the project.
        project: whose target_dir and staging_dir are compared.
        row: of the CAR.
        progress: called with bytes compared since the last call.
    """
    try:
        blocks = Blocks([area_of(project).path(row.file_name)], index=False)
    except (CarError, OSError) as error:
        return Comparison([f"can't be compared with the source: {error}"], None)
    problems: list[str] = []
    faults: list[SourceFault] = []
    unread: set[int] = set()
    live = outdated = 0
    try:
        with ThreadPoolExecutor(2, thread_name_prefix="compare") as pool:
            for one in shards.built(catalog, row.container_id):
                if not one.live:
                    outdated += 1
                    progress(one.length if one.kind == Kind.FILE else 0)
                    continue
                live += 1
                found = _difference(blocks, project, one, pool, progress)
                if found:
                    reason, suspect = found
                    if suspect is None:
                        unread.add(one.position)
                    else:
                        faults.append(SourceFault(one.position, one.file_id, reason.strip(" ;"), suspect))
                    problems.append(f"{paths.display(bytes(one.path))}{reason}")
    finally:
        blocks.close()
    if len(problems) > MAX_DIFFERENCES:
        problems[MAX_DIFFERENCES:] = [f"and {len(problems) - MAX_DIFFERENCES} more"]
    return Comparison(problems, faults, live - len(unread), outdated, frozenset(unread))


def _difference(
    blocks: Blocks,
    project: Project,
    row: sa.Row[Any],
    pool: ThreadPoolExecutor,
    progress: Callable[[int], None],
) -> tuple[str, bool | None] | None:
    """How an entry isn't what the CAR holds, and whether the CAR is suspect: nothing says that the entry changed.

    None instead of that: the entry can't be read.
    """
    path = paths.real_path(project.target_bytes, bytes(row.path))
    spot = Spot(0, row.car_offset)
    try:
        if row.kind == Kind.SYMLINK:
            target = paths.at_path(path, lambda p, at: os.readlink(p, dir_fd=at))
            same = target == read_node(blocks, bytes(row.cid), spot).unixfs.data
            return None if same else (" leads elsewhere in the source", False)
        if row.kind == Kind.DIRECTORY:
            found = paths.at_path(path, lambda p, at: os.stat(p, dir_fd=at, follow_symlinks=False))
            return None if stat.S_ISDIR(found.st_mode) else (" is no folder in the source any more", False)
        descriptor = paths.at_path(path, lambda p, at: os.open(p, _FILE, dir_fd=at))
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                return " is no regular file in the source any more", False
            changed = "" if status.st_mtime_ns == row.mtime else "; it was modified after the scan"
            if status.st_size != row.size:
                return (
                    f" has {status.st_size} bytes in the source, {row.size} when it was scanned{changed}",
                    False,
                )
            wanted = leaves(blocks, bytes(row.cid), row.length, spot, row.start)
            for leaf, right in compare(descriptor, wanted, pool, progress=progress):
                if not right:
                    last = leaf.start + leaf.length - 1
                    suspect = not changed and row.read_ctime in (None, status.st_ctime_ns)
                    return f" differs from the source in bytes {leaf.start} to {last}{changed}", suspect
        finally:
            os.close(descriptor)
    except OSError as error:
        return f" can't be read in the source ({error.strerror})", None
    except BlockError as error:
        return f" can't be compared with the source: {error}", True
    return None
