"""Verify: CARs are read back by a reader that shares nothing with the builder, and compared with the catalog.

A CAR that passed has the time in the catalog, and what its file was like: a verification that was interrupted resumes
with the others, and a file that changed since counts as unverified.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from ptolemy_core.catalog import cars, delivery, projects, shards
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import StageOrderError
from ptolemy_core.layout import WHOLE, names
from ptolemy_core.reader import Entry, Expected, verify_car
from ptolemy_core.stages.car_state import is_away, is_verified
from ptolemy_core.stages.compare import Comparison, compare_with_source
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.staging.area import StagedFile, StagingArea, area_of
from ptolemy_core.tree import SEPARATOR, Kind, paths

_KINDS = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "symlink"}
_SHOWN = 20

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
        compared, outdated: entries that were compared with the source, and that weren't, since they were changed
            or deleted by now and a scan knows it.
    """

    car: CarRow
    blocks: int
    entries: int
    problems: list[str]
    away: bool = False
    known: bool = False
    compared: int = 0
    outdated: int = 0

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
) -> Generator[Verdict, None, None]:
    """Verify the CARs of a project in its staging folder, and record those that pass wholly.

    Close it (`contextlib.closing`) where not all verdicts are taken: threads read on until then.

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
    area = area_of(project)
    away = {row.number for row in rows if is_away(project, row)}
    known = (
        set() if again else {row.number for row in rows if is_verified(row, area.look(row.file_name))} - away
    )
    total = sum(row.car_size for row in rows if row.number not in away | known)
    if source:
        total += sum(row.data_bytes for row in rows if row.number not in away)
    lock = threading.Lock()
    stop = threading.Event()

    with Reporter(catalog, name, Task(Work.VERIFY), total) as reporter:

        def advance(step: int) -> None:
            if stop.is_set():
                raise _StoppedError
            with lock:
                reporter.advance(step)
                if progress:
                    progress(step)

        def work(row: CarRow) -> Verdict:
            if row.number in away:
                return Verdict(row, 0, 0, [], away=True)
            if row.number in known:
                verdict, read = Verdict(row, 0, 0, [], known=True), None
            else:
                verdict, read = _read_one(catalog, area, row, profile, advance)
            if source and verdict.ok:
                compared = compare_with_source(catalog, project, row, advance)
                verdict = _with_source(catalog, verdict, compared)
            return _recorded(catalog, verdict, read, compared=source)

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
            finally:  # also where the caller gives up: what runs in the threads ends soon
                stop.set()
                for future in running:
                    future.cancel()


@dataclass(frozen=True, slots=True)
class _Read:
    """A CAR that was read wholly: when that began, the file (None: it changed meanwhile), whether it is right."""

    began: float
    file: StagedFile | None
    right: bool


def _with_source(catalog: Catalog, verdict: Verdict, found: Comparison) -> Verdict:
    """The verdict with what a comparison with the source found, which is recorded."""
    if found.faults is not None:
        delivery.record_comparison(catalog, verdict.car, found.faults, found.unread)
    problems = [f"{verdict.car.file_name}: {problem}" for problem in found.problems]
    return replace(verdict, problems=problems, compared=found.compared, outdated=found.outdated)


def _recorded(catalog: Catalog, verdict: Verdict, read: _Read | None, *, compared: bool) -> Verdict:
    """Record whether a CAR is verified; one that may hold a mixture of a file's states isn't."""
    row = verdict.car
    suspects = delivery.suspects(catalog, row) if read is None or read.right else []
    if suspects:
        delivery.set_unverified(catalog, row)
    elif read is not None and read.right and read.file is not None:
        delivery.set_verified(catalog, row, read.began, read.file.ctime, read.file.inode)
    elif read is not None and (not read.right or row.verified_at is not None):
        delivery.set_unverified(catalog, row, failed=not read.right)
    if suspects and not compared:
        more = f" and {len(suspects) - 1} more" if len(suspects) > 1 else ""
        problem = (
            f"{row.file_name}: {paths.display(suspects[0][0])}{more} differed from the source when they were "
            "compared, with the size and time of the scan, so this CAR may hold a mixture of its states: compare "
            f"again (ptolemy verify {row.project} --source), or touch the file and run the project again"
        )
        return replace(verdict, problems=[*verdict.problems, problem])
    return verdict


def _read_one(
    catalog: Catalog, area: StagingArea, row: CarRow, profile: Profile, progress: Callable[[int], None]
) -> tuple[Verdict, _Read | None]:
    """Read a CAR; no `_Read` if it couldn't be read."""
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
    before = area.look(row.file_name)
    path = area.path(row.file_name)
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
        return Verdict(row, 0, 0, [problem]), None
    except OSError as error:
        return Verdict(row, 0, 0, [f"{row.file_name} can't be read: {error.strerror}"]), None
    problems = [f"{row.file_name} at byte {f.offset}: {f.message} ({f.code})" for f in report.findings]
    problems += [f"{row.file_name}: {problem}" for problem in listing.differences(catalog, row.container_id)]
    right = not problems
    same = before if before is not None and before.regular and area.look(row.file_name) == before else None
    if right and same is None:
        problems.append(f"{row.file_name} was changed while it was read, or is a link: verify it again")
    return Verdict(row, report.blocks, len(listing.found), problems), _Read(began, same, right)


class _StoppedError(Exception):
    """Nobody waits for the verdict any more."""


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

    def differences(self, catalog: Catalog, container_id: int) -> list[str]:
        """Where the CAR's tree isn't what the scan saw and the receipt says, as sentences."""
        problems = [f"{paths.display(path)} is in it twice" for path in self.twice[:_SHOWN]]
        folders: set[bytes] = set()
        unmet = set(self.found)
        for row in shards.built(catalog, container_id):
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
