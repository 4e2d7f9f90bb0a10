"""Compares what a CAR holds with the files it was made of, as they are now: verification's `--source`.

The source is read again and each of its ranges hashed against the leaf that the CAR has for it; the CAR's
leaves themselves are verified before. Versions that were superseded or are gone, as a scan saw, aren't compared.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ptolemy_core.catalog import stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.delivery import SourceFault
from ptolemy_core.catalog.shards import BuiltShard
from ptolemy_core.dag.profile import Profile
from ptolemy_core.encryption import Form, Header
from ptolemy_core.encryption.opening import form_of
from ptolemy_core.errors import (
    DeadCarError,
    EncryptionError,
    OutlineError,
    SourceChangedError,
    SourceError,
    StagingError,
)
from ptolemy_core.layout import item_extents
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.reader.findings import CarError
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.compare import compare
from ptolemy_core.restore.dag import leaves, read_node
from ptolemy_core.source import Source, Stamp, Target, open_target, refusals
from ptolemy_core.source.open_file import ReadAt, encrypting_reader
from ptolemy_core.source.protocol import OpenFile
from ptolemy_core.tree import Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import FileCipher, ProjectCipher

MAX_DIFFERENCES = 100
"""Differences of one CAR that are named."""

_AT_ONCE = 16 << 20
"""Bytes of a generated CAR that are made together."""


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
    project: Project,
    row: CarRow,
    shards: Sequence[BuiltShard],
    progress: Progress,
    cipher: "ProjectCipher | None" = None,
) -> Comparison:
    """Compare the files in target_dir with what a CAR holds of them.

    Args:
        project: whose target_dir and staging_dir are compared.
        row: the CAR's receipt.
        shards: of the CAR.
        progress: called with bytes compared since the last call.
        cipher: of an encrypted project; without it nothing of one can be compared.
    """
    if project.is_encrypted and cipher is None:
        why = f"can't be compared with the source without the project's key, {project.encryption}: import it"
        return Comparison([why], None)
    try:
        blocks = Blocks([stored_cars.of_row(project, row).for_reader()], index=False)
    except (CarError, OSError, StagingError) as error:
        return Comparison([f"can't be compared with the source: {error}"], None)
    problems: list[str] = []
    faults: list[SourceFault] = []
    unread: set[int] = set()
    live = outdated = 0
    try:
        target = open_target(project)
        target.mounts()  # sees that it is there
        with ThreadPoolExecutor(2, thread_name_prefix="compare") as pool:
            for one in shards:
                if not one.live:
                    outdated += 1
                    progress(one.length if one.kind == Kind.FILE else 0)
                    continue
                live += 1
                found = _difference(_Opened(blocks, target, pool, cipher), one, progress)
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


@dataclass(frozen=True, slots=True)
class _Opened:
    """What is compared: the CAR's blocks, and the source with the project's ciphers."""

    blocks: Blocks
    target: Target
    pool: ThreadPoolExecutor
    cipher: "ProjectCipher | None"

    def wanted_target(self, row: BuiltShard, target: bytes) -> bytes:
        """A link's target as its CAR must have it."""
        return (
            target if self.cipher is None else self.cipher.car_target(self.cipher.car_path(row.path), target)
        )

    def file(self, row: BuiltShard) -> "FileCipher | None":
        """The cipher of a file."""
        if self.cipher is None or row.header is None:
            return None
        return self.cipher.file(self.cipher.car_path(row.path), Header.of_bytes(row.header), row.size)


def agreed(shards: Sequence[BuiltShard], progress: Progress) -> Comparison:
    """The comparison of a generated CAR that was just read wholly: that compares all of its source."""
    progress(sum(one.length for one in shards if one.kind == Kind.FILE))
    live = sum(one.live for one in shards)
    return Comparison([], [], live, len(shards) - live)


def compare_generated(
    project: Project, row: CarRow, shards: Sequence[BuiltShard], profile: Profile, progress: Progress
) -> Comparison:
    """Compare the files in target_dir with what a generated CAR was built from: its bytes are made, one by one.

    Args:
        project: whose target_dir is compared.
        row: the CAR's receipt.
        shards: of the CAR.
        profile: of the DAG.
        progress: called with bytes compared since the last call.
    """
    source = open_target(project)
    problems: list[str] = []
    faults: list[SourceFault] = []
    unread: set[int] = set()
    outdated = 0
    kinds = np.array([one.kind for one in shards], dtype=np.int8)
    form = form_of(project, profile.chunk)
    lengths = np.array([one.range_in_car(form)[1] for one in shards], dtype=np.int64)
    spans = item_extents(kinds, lengths, profile).span.tolist()
    try:
        with stored_cars.of_row(project, row).open() as car:
            for one, span in zip(shards, spans, strict=True):
                if not one.live:
                    outdated += 1
                elif one.kind == Kind.FILE:
                    try:
                        for _ in car.ranges(one.car_offset, span, _AT_ONCE):
                            pass
                    except SourceChangedError as error:
                        problems.append(refusals.recorded(error))
                        other = bool(error.other_content)
                        if not other and _has_stamp(source, one):  # only its mode changed meanwhile, say
                            unread.add(one.position)
                        else:
                            faults.append(SourceFault(one.position, one.file_id, error.reason, other))
                    except SourceError as error:
                        unread.add(one.position)
                        problems.append(str(error))
                progress(one.length if one.kind == Kind.FILE else 0)
    except (OutlineError, DeadCarError, EncryptionError) as error:
        return Comparison([f"can't be compared with the source: {error}"], None)
    if len(problems) > MAX_DIFFERENCES:
        problems[MAX_DIFFERENCES:] = [f"and {len(problems) - MAX_DIFFERENCES} more"]
    live = len(shards) - outdated
    return Comparison(problems, faults, live - len(unread), outdated, frozenset(unread))


def _has_stamp(source: Source, one: BuiltShard) -> bool:
    """Whether a file looks as the scan saw it, though it isn't."""
    try:
        source.check(one.path, one.kind, Stamp(one.size, one.mtime))
    except SourceError:
        return False
    return True


def _difference(opened: _Opened, row: BuiltShard, progress: Progress) -> tuple[str, bool | None] | None:
    """How an entry isn't what the CAR holds, and whether the CAR is suspect: nothing says that the entry changed.

    None instead of that: the entry can't be read.
    """
    source, spot, scanned = opened.target, Spot(0, row.car_offset), Stamp(row.size, row.mtime)
    try:
        if row.kind == Kind.SYMLINK:
            target = opened.wanted_target(row, source.link(row.path))
            same = target == read_node(opened.blocks, row.cid, spot).unixfs.data
            return None if same else (" leads elsewhere in the source", False)
        if row.kind == Kind.DIRECTORY:
            source.check(row.path, row.kind, scanned)
            return None
        with source.opened(row.path) as file:
            changed = "; it was modified after the scan" if file.stamp.token != scanned.token else ""
            if file.stamp.size != scanned.size:
                sizes = f"{file.stamp.size} bytes in the source, {scanned.size} when it was scanned"
                return f" has {sizes}{changed}", False
            for first, last in _wrong_ranges(opened, row, file, progress):
                suspect = not changed and row.read_ctime in (None, file.ctime)
                return f" differs from the source in bytes {first} to {last}{changed}", suspect
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
        return " is no longer a folder in the source", False
    if refusals.NOT_A_FILE in error.reason and cause is None:
        return " is no longer a regular file in the source", False
    why = cause.strerror if isinstance(cause, OSError) else error.reason
    return f" can't be read in the source ({why})", None


def _wrong_ranges(
    opened: _Opened, row: BuiltShard, file: OpenFile, progress: Progress
) -> Iterator[tuple[int, int]]:
    """First and last bytes of the ranges of an open file that aren't what the CAR holds."""
    cipher = opened.file(row)
    read: ReadAt = file.read_at
    start, length = row.start, row.length
    if cipher is not None:
        read = encrypting_reader(cipher, file.read_at)
        start, length = Form(True, segment=cipher.segments.segment).file_range(row.size, start, length)
    wanted = leaves(opened.blocks, row.cid, length, Spot(0, row.car_offset), start)
    for leaf, right in compare(read, wanted, opened.pool, progress=progress):
        if right:
            continue
        first, size = leaf.start, leaf.length
        if cipher is not None:
            first, size = cipher.segments.plain_range(leaf.start // cipher.segments.segment)
        yield first, first + size - 1
