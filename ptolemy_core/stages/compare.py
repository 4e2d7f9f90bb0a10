"""Compares what a CAR holds with the files it was made of, as they are now: verification's `--source`.

The source is read again and each of its ranges hashed against the leaf that the CAR has for it; the CAR's
leaves themselves are verified before. Versions that were superseded or are gone, as a scan saw, aren't compared.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.delivery import SourceFault
from ptolemy_core.catalog.shards import BuiltShard
from ptolemy_core.errors import SourceChangedError, SourceError
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.reader.findings import CarError
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.compare import compare
from ptolemy_core.restore.dag import leaves, read_node
from ptolemy_core.source import Stamp, Target, open_target, refusals
from ptolemy_core.staging.area import area_of
from ptolemy_core.tree import Kind, paths

MAX_DIFFERENCES = 100
"""Differences of one CAR that are named."""


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
    project: Project, row: CarRow, shards: Sequence[BuiltShard], progress: Progress
) -> Comparison:
    """Compare the files in target_dir with what a CAR holds of them.

    Args:
        project: whose target_dir and staging_dir are compared.
        row: the CAR's receipt.
        shards: of the CAR.
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
        target = open_target(project)
        target.mounts()  # that it is there
        with ThreadPoolExecutor(2, thread_name_prefix="compare") as pool:
            for one in shards:
                if not one.live:
                    outdated += 1
                    progress(one.length if one.kind == Kind.FILE else 0)
                    continue
                live += 1
                found = _difference(blocks, target, one, pool, progress)
                if found:
                    reason, suspect = found
                    if suspect is None:
                        unread.add(one.position)
                    else:
                        faults.append(SourceFault(one.position, one.file_id, reason.strip(" ;"), suspect))
                    problems.append(f"{paths.display(one.path)}{reason}")
    except SourceError as error:
        cause = error.__cause__
        said = cause.strerror if isinstance(cause, OSError) else str(error)
        why = f"can't be compared with the source: target_dir can't be read ({said})"
        return Comparison([*problems[:MAX_DIFFERENCES], why], None)
    finally:
        blocks.close()
    if len(problems) > MAX_DIFFERENCES:
        problems[MAX_DIFFERENCES:] = [f"and {len(problems) - MAX_DIFFERENCES} more"]
    return Comparison(problems, faults, live - len(unread), outdated, frozenset(unread))


def _difference(
    blocks: Blocks,
    target: Target,
    row: BuiltShard,
    pool: ThreadPoolExecutor,
    progress: Progress,
) -> tuple[str, bool | None] | None:
    """How an entry isn't what the CAR holds, and whether the CAR is suspect: nothing says that the entry changed.

    None instead of that: the entry can't be read.
    """
    spot, scanned = Spot(0, row.car_offset), Stamp(row.size, row.mtime)
    try:
        if row.kind == Kind.SYMLINK:
            same = target.link(row.path) == read_node(blocks, row.cid, spot).unixfs.data
            return None if same else (" leads elsewhere in the source", False)
        if row.kind == Kind.DIRECTORY:
            target.check(row.path, row.kind, scanned)
            return None
        with target.opened(row.path) as file:
            changed = "; it was modified after the scan" if file.stamp.token != scanned.token else ""
            if file.stamp.size != scanned.size:
                sizes = f"{file.stamp.size} bytes in the source, {scanned.size} when it was scanned"
                return f" has {sizes}{changed}", False
            wanted = leaves(blocks, row.cid, row.length, spot, row.start)
            for leaf, right in compare(file.read_at, wanted, pool, progress=progress):
                if not right:
                    last = leaf.start + leaf.length - 1
                    suspect = not changed and row.read_ctime in (None, file.ctime)
                    return f" differs from the source in bytes {leaf.start} to {last}{changed}", suspect
    except SourceError as error:
        return _unread(row, error)
    except BlockError as error:
        return f" can't be compared with the source: {error}", True
    return None


def _unread(row: BuiltShard, error: SourceError) -> tuple[str, bool | None]:
    """What to say of an entry that can't be read in the source, and False if it is another kind of entry by now."""
    if refusals.BEHIND_LINK in error.reason:
        return f" can't be compared with the source: {refusals.BEHIND_LINK}", None
    cause = error.__cause__
    changed = isinstance(error, SourceChangedError)
    if row.kind == Kind.DIRECTORY and changed and not isinstance(cause, FileNotFoundError):
        return " is no folder in the source any more", False
    if refusals.NOT_A_FILE in error.reason and cause is None:
        return " is no regular file in the source any more", False
    why = cause.strerror if isinstance(cause, OSError) else error.reason
    return f" can't be read in the source ({why})", None
