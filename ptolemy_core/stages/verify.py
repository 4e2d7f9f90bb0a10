"""Verify: CARs are read back by a reader that shares nothing with the builder, and held against the catalog.

A CAR that passed has the time in the catalog: a verification that was interrupted goes on with the others.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ptolemy_core.catalog import cars, delivery, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import StageOrderError
from ptolemy_core.layout import WHOLE, names
from ptolemy_core.project import Project
from ptolemy_core.reader import Entry, Expected, verify_car
from ptolemy_core.stages import room
from ptolemy_core.stages.compare import source_differences
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.tree import SEPARATOR, Kind, paths

_KINDS = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "symlink"}
_SHOWN = 20
_CLOCK = 0.02
"""Seconds that a file's time of change may be behind the clock: the system counts it in ticks."""

_Key = tuple[bytes, int | None]
_Value = tuple[str, int, bytes, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verification of one CAR found; `problems` are sentences, none if all is well.

    Attributes:
        car: the CAR's receipt.
        blocks: read and hashed.
        entries: files (or shards), links and empty folders that agree with the scan.
        away: it is marked as delivered and not in the staging folder any more, so nothing was read.
        known: it passed an earlier verification and its file hasn't changed since, so it wasn't read again.
    """

    car: CarRow
    blocks: int
    entries: int
    problems: list[str]
    away: bool = False
    known: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    catalog: Catalog,
    name: str,
    *,
    number: int | None = None,
    again: bool = True,
    source: bool = False,
    at_once: int | None = None,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Verdict]:
    """Verify the CARs of a project in its staging folder, and record those that pass wholly.

    Args:
        catalog: that holds the project.
        name: the project's.
        number: of the only container to verify.
        again: read CARs too that passed an earlier verification and haven't changed since.
        source: compare the content of the CARs with the files in target_dir, too.
        at_once: CARs that are read at once; by default as many as there are cores.
        profile: of the DAG.
        progress: called with bytes read since the last call.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: none of the asked CARs is built.
    """
    project = projects.get(catalog, name)
    require(catalog, name, Stage.VERIFY)
    rows = list(cars.rows(catalog, name, number))
    if not rows:
        raise StageOrderError.needs(name, f"has no CAR of container {number} built yet", Stage.BLITZ)
    away = {row.number for row in rows if room.is_away(project, row)}
    known = set() if again else {row.number for row in rows if _is_known(project, row)} - away
    total = sum(row.car_size for row in rows if row.number not in away | known)
    if source:
        total += sum(row.data_bytes for row in rows if row.number not in away)
    lock = threading.Lock()

    with Reporter(catalog, name, Task(Work.VERIFY), total) as reporter:

        def advance(step: int) -> None:
            with lock:
                reporter.advance(step)
                if progress:
                    progress(step)

        def work(row: CarRow) -> Verdict:
            if row.number in away:
                return Verdict(row, 0, 0, [], away=True)
            if row.number in known:
                verdict = Verdict(row, 0, 0, [], known=True)
            else:
                path = os.path.join(project.staging_dir, row.file_name)
                verdict = _verify_one(catalog, path, row, profile, advance)
            if not source or not verdict.ok:
                return verdict
            found = source_differences(catalog, project, row, advance)
            return replace(verdict, problems=[f"{row.file_name}: {problem}" for problem in found])

        threads = at_once or os.cpu_count() or 1
        with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
            running: deque[Future[Verdict]] = deque()
            try:
                for row in rows:
                    running.append(pool.submit(work, row))
                    if len(running) > threads:
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                for future in running:
                    future.cancel()


def _is_known(project: Project, row: CarRow) -> bool:
    """Whether a CAR passed verification, and its file hasn't been changed or replaced since that began."""
    if row.verified_at is None:
        return False
    try:
        status = os.stat(os.path.join(project.staging_dir, row.file_name))
    except OSError:
        return False
    return status.st_size == row.car_size and status.st_ctime + _CLOCK < row.verified_at


def _verify_one(
    catalog: Catalog, path: str, row: CarRow, profile: Profile, progress: Callable[[int], None]
) -> Verdict:
    listing = _Listing()
    expect = Expected(
        payload_cid=row.payload_cid,
        piece_cid_v1=row.piece_cid_v1,
        piece_cid_v2=row.piece_cid_v2,
        car_size=row.car_size,
        piece_size=row.piece_size,
        sha256=row.sha256,
    )
    done = 0

    def report_bytes(so_far: int) -> None:
        nonlocal done
        step, done = so_far - done, so_far
        progress(step)

    began = time.time()
    try:
        report = verify_car(
            path, profile, expect=expect, on_entry=listing.meet, progress=report_bytes, sha256=False
        )
    except FileNotFoundError as error:
        problem = (
            f"{row.file_name} can't be read: {error.strerror}; if it was delivered, say so: "
            f"ptolemy release {row.project}/{row.number} --note WHERE; else materialize car "
            f"{row.project}|{row.number:06d} to build it again"
        )
        return Verdict(row, 0, 0, [problem])
    except OSError as error:
        return Verdict(row, 0, 0, [f"{row.file_name} can't be read: {error.strerror}"])
    problems = [f"{row.file_name} at byte {f.offset}: {f.message} ({f.code})" for f in report.findings]
    problems += [f"{row.file_name}: {problem}" for problem in listing.differences(catalog, row.container_id)]
    if not problems or row.verified_at is not None:
        delivery.set_verified(catalog, row, not problems, began)
    return Verdict(row, report.blocks, len(listing.found), problems)


class _Listing:
    """Entries met in a CAR, by real path and shard number; folders apart."""

    def __init__(self) -> None:
        self.found: dict[_Key, _Value] = {}
        self.folders: set[bytes] = set()
        self.twice: list[bytes] = []

    def meet(self, entry: Entry) -> None:
        parts = [names.decode(part) for part in entry.path.split(b"/")]
        path = SEPARATOR.join(part for part, _ in parts)
        if entry.kind == "directory":
            self.folders.add(path)
            return
        key = (path, parts[-1][1])
        if key in self.found:
            self.twice.append(path)
        self.found[key] = (entry.kind, entry.size, entry.cid, entry.offset)

    @survives_outage
    def differences(self, catalog: Catalog, container_id: int) -> list[str]:
        """Where the CAR's tree isn't what the scan saw and the receipt says, as sentences."""
        problems = [f"{paths.display(path)} stands in it twice" for path in self.twice[:_SHOWN]]
        folders: set[bytes] = set()
        unmet = set(self.found)
        for row in _expected(catalog, container_id):
            path = bytes(row.path)
            folder = path.rpartition(SEPARATOR)[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition(SEPARATOR)[0]
            if row.kind == Kind.DIRECTORY:
                folders.add(path)
                continue
            key = (path, None if row.number == WHOLE else row.number)
            unmet.discard(key)
            wanted = (_KINDS[Kind(row.kind)], row.length, bytes(row.cid), row.car_offset)
            if self.found.get(key) != wanted:
                problems.append(_difference(paths.display(path), self.found.get(key), wanted))
        problems += [f"{paths.display(path)} isn't in the scan" for path, _ in sorted(unmet)[:_SHOWN]]
        problems += [f"folder {paths.display(p)} is missing" for p in sorted(folders - self.folders)[:_SHOWN]]
        problems += [
            f"folder {paths.display(p)} isn't in the scan" for p in sorted(self.folders - folders)[:_SHOWN]
        ]
        return problems[: 5 * _SHOWN]


def _difference(path: str, got: _Value | None, wanted: _Value) -> str:
    if got is None:
        return f"{path} is missing"
    for what, ours, theirs in zip(("kind", "size", "CID", "offset"), wanted, got, strict=True):
        if ours != theirs:
            return f"{path} has another {what} than the catalog says"
    return f"{path} differs"


def _expected(catalog: Catalog, container_id: int) -> Iterator[sa.Row[tuple[object, ...]]]:
    query = (
        sa.select(
            file.c.path,
            file.c.kind,
            shard.c.number,
            shard.c.length,
            built_shard.c.cid,
            built_shard.c.car_offset,
        )
        .join(shard, shard.c.file_id == file.c.id)
        .join(
            built_shard,
            sa.and_(
                built_shard.c.container_id == shard.c.container_id,
                built_shard.c.position == shard.c.position,
            ),
        )
        .where(shard.c.container_id == container_id)
    )
    with catalog.read() as connection:
        yield from connection.execution_options(yield_per=10_000).execute(query)
