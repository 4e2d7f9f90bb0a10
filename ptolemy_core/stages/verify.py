"""Verify: CARs are read back by a reader that shares nothing with the builder, and compared with the catalog.

A CAR that passed has the time in the catalog, and what its file was like: a verification that was interrupted resumes
with the others, and a file that changed since counts as unverified. `verify_job` has the verification of one CAR.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from ptolemy_core.catalog import cars, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import StageOrderError
from ptolemy_core.progress import Progress
from ptolemy_core.reader.threads import HashThreads, usable_cores
from ptolemy_core.stages import verify_job
from ptolemy_core.stages.car_state import is_away, is_verified, look
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.stages.verify_job import Verdict

__all__ = ["Verdict", "Verifying", "verify"]


@dataclass(frozen=True, slots=True)
class Verifying:
    """How CARs are verified.

    Attributes:
        again: read CARs too that passed an earlier verification and haven't changed since.
        source: compare the content of the CARs with the files in target_dir, too.
        at_once: CARs that are read at once; by default as many as there are cores. Threads that hash serve them all.
        profile: of the DAG.
        remedy: what to do about a CAR whose file is missing.
    """

    again: bool = True
    source: bool = False
    at_once: int | None = None
    profile: Profile = UNIXFS_V1_2025
    remedy: Callable[[CarRow], str] = verify_job.release_or_rebuild


_USUAL = Verifying()


def verify(
    catalog: Catalog,
    name: str,
    how: Verifying = _USUAL,
    *,
    number: int | None = None,
    progress: Progress | None = None,
) -> Generator[Verdict, None, None]:
    """Verify the CARs of a project in its staging folder, and record those that pass wholly.

    Close it (`contextlib.closing`) where not all verdicts are taken: threads read on until then.

    Args:
        catalog: where the project is.
        name: the project's.
        how: to verify.
        number: of the only container to verify.
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
    dead = {row.number for row in rows if row.dead_at is not None}
    away = dead | {row.number for row in rows if is_away(project, row)}
    known: set[int] = set()
    if not how.again:
        known = {row.number for row in rows if is_verified(row, look(project, row))} - away
    total = sum(row.car_size for row in rows if row.number not in away | known)
    if how.source:
        total += sum(row.data_bytes for row in rows if row.number not in away)

    with HashThreads() as threads, Reporter(catalog, name, Task(Work.VERIFY), total) as reporter:

        def report(step: int) -> None:
            reporter.advance(step)
            if progress:
                progress(step)

        def one(row: CarRow, advance: Callable[[int], None]) -> Verdict:
            if row.number in away:
                return Verdict(row, 0, 0, [], away=row.number not in dead, dead=row.number in dead)
            job = verify_job.load(
                catalog, project, row, how.profile, known=row.number in known, source=how.source
            )
            job = replace(job, remedy=how.remedy)
            return verify_job.record(catalog, job, verify_job.work(job, advance, threads))

        yield from _in_threads(one, rows, how.at_once or usable_cores(), report)


class _StoppedError(Exception):
    """Nobody waits for the verdict any more."""


def _in_threads(
    one: Callable[[CarRow, Callable[[int], None]], Verdict],
    rows: Sequence[CarRow],
    threads: int,
    report: Callable[[int], None],
) -> Generator[Verdict, None, None]:
    """The verdicts on CARs in their order; `report` is called by one thread at a time."""
    lock = threading.Lock()
    stop = threading.Event()

    def advance(step: int) -> None:
        if stop.is_set():
            raise _StoppedError
        with lock:
            report(step)

    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        running: deque[Future[Verdict]] = deque()
        try:
            for row in rows:
                running.append(pool.submit(one, row, advance))
                if len(running) > threads:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:  # also where the caller gives up: what runs in the threads ends soon
            stop.set()
            for future in running:
                future.cancel()
