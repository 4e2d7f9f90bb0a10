"""The verification of one CAR, in three parts: load what it needs, do the work, record the result.

`work` needs no catalog: it runs on any machine that has the CAR, and with `source` the files that it was made of.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from ptolemy_core.catalog import data_keys, delivery, shards, stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.shards import BuiltShards
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.encryption.opening import form_of
from ptolemy_core.errors import DeadCarError, EncryptionError, OutlineError, SourceError, StagingError
from ptolemy_core.keys import WrappedKey
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.reader import Expected, Limits, verify_car
from ptolemy_core.reader.threads import HashThreads
from ptolemy_core.source import refusals
from ptolemy_core.stages import dead
from ptolemy_core.stages.car_listing import CarListing
from ptolemy_core.stages.compare import Comparison, agreed, compare_generated, compare_with_source
from ptolemy_core.stages.project_keys import cipher_if_any
from ptolemy_core.staging.area import StagedFile
from ptolemy_core.tree import paths


def release_or_rebuild(row: CarRow) -> str:
    """What to do about a CAR whose file is missing."""
    car = f"{row.project}/{row.number}"
    return (
        f"if it was delivered, mark it: ptolemy release {car} --note WHERE; else build it again: "
        f"ptolemy rebuild {car}"
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verification of one CAR found; `problems` are sentences, none if all is well.

    Attributes:
        car: the CAR's receipt.
        blocks: read and hashed.
        entries: files (or shards) and links that were found in it.
        away: it is marked as delivered and not in the staging folder any more, so nothing was read.
        known: it passed an earlier verification and its file hasn't changed since, so it wasn't read again.
        compared, outdated: entries that were compared with the source, and that weren't, since they were changed
            or deleted by now and a scan knows it.
        dead: it can't be read any more, as is known, so nothing was read.
    """

    car: CarRow
    blocks: int
    entries: int
    problems: list[str]
    away: bool = False
    known: bool = False
    compared: int = 0
    outdated: int = 0
    dead: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class VerifyJob:
    """All that the verification of one CAR needs.

    Attributes:
        project: its settings say where the staging folder and the source are.
        car: the CAR's receipt.
        shards: what it must hold.
        profile: of the DAG.
        known: it needn't be read: it passed before and is unchanged.
        source: compare it with the source.
        wrapped: data keys of an encrypted project.
        remedy: what to do if its file is missing.
    """

    project: Project
    car: CarRow
    shards: BuiltShards
    profile: Profile
    known: bool = False
    source: bool = False
    wrapped: tuple[WrappedKey, ...] = ()
    remedy: Callable[[CarRow], str] = release_or_rebuild


@dataclass(frozen=True, slots=True)
class Reading:
    """A CAR that was read wholly.

    Attributes:
        began: seconds since 1970.
        file: as it was before and after; None if it changed meanwhile.
        right: whether its content is.
    """

    began: float
    file: StagedFile | None
    right: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What the work found: the verdict so far, the reading and the comparison, None where there was none.

    `other_content`: positions of files that look as they did when a generated CAR was built, and have other bytes.
    """

    verdict: Verdict
    reading: Reading | None = None
    comparison: Comparison | None = None
    other_content: tuple[int, ...] = ()


def load(
    catalog: Catalog, project: Project, row: CarRow, profile: Profile, *, known: bool, source: bool
) -> VerifyJob:
    """Read what the verification of a CAR needs: nothing more of one that needn't be read."""
    needed = source or not known
    rows = source or project.is_encrypted
    found = shards.built(catalog, row.container_id, listed=not rows) if needed else shards.NONE
    wrapped = tuple(data_keys.data_keys(catalog, project.name)) if project.is_encrypted and needed else ()
    return VerifyJob(project, row, found, profile, known, source, wrapped)


def work(job: VerifyJob, progress: Progress, threads: HashThreads | None = None) -> Checked:
    """Read a CAR, and compare it with the source where that is asked for. It needs no catalog.

    A CAR of an encrypted project is verified without its key too; then only names aren't compared.

    Args:
        job: what to verify.
        progress: called with bytes read since the last call.
        threads: that hash, shared with other verifications; by default its own.
    """
    form = form_of(job.project, job.profile.chunk)
    cipher = cipher_if_any(job.wrapped, job.profile)
    changed: tuple[int, ...] = ()
    if job.known:
        verdict, reading = Verdict(job.car, 0, 0, [], known=True), None
    else:
        verdict, reading, changed = _read(job, CarListing(job.shards, form, cipher), progress, threads)
    if not job.source or not (verdict.ok or job.car.is_generated):
        return Checked(verdict, reading, other_content=changed)
    if not job.car.is_generated:
        found = compare_with_source(job.project, job.car, job.shards, progress, cipher)
    elif reading is not None and reading.right:
        found = agreed(job.shards, progress)
    else:
        found = compare_generated(job.project, job.car, job.shards, job.profile, progress)
        changed = tuple(fault.position for fault in found.faults or () if fault.suspect)
        if not found.problems:
            return Checked(verdict, reading, found)
    problems = [f"{job.car.file_name}: {problem}" for problem in found.problems]
    verdict = replace(verdict, problems=problems, compared=found.compared, outdated=found.outdated)
    return Checked(verdict, reading, found, changed)


def record(catalog: Catalog, job: VerifyJob, checked: Checked) -> Verdict:
    """Record whether a CAR is verified; one that may hold a mixture of a file's states isn't.

    A generated CAR of which a file changed, which no scan could see, is dead, and its files are planned anew.
    """
    row, verdict, reading, found = job.car, checked.verdict, checked.reading, checked.comparison
    if found is not None and found.faults is not None:
        delivery.record_comparison(catalog, row, found.faults, found.unread)
    if checked.other_content:
        changed = shards.file_ids(catalog, row.container_id, checked.other_content)
        dead.content_changed(catalog, row.project, changed)
    suspects = delivery.suspects(catalog, row) if reading is None or reading.right else []
    if suspects:
        delivery.set_unverified(catalog, row)
    elif reading is not None and reading.right and reading.file is not None:
        delivery.set_verified(catalog, row, reading.began, reading.file.ctime, reading.file.inode)
    elif reading is not None and (not reading.right or row.verified_at is not None):
        delivery.set_unverified(catalog, row, failed=not reading.right)
    if suspects and not job.source:
        more = f" and {len(suspects) - 1} more" if len(suspects) > 1 else ""
        problem = (
            f"{row.file_name}: {paths.display(suspects[0][0])}{more} differed from the source when they were "
            "compared, with the size and time of the scan, so this CAR may mix two of its states: compare "
            f"again (ptolemy verify {row.project} --source), or touch the file and run the project again"
        )
        return replace(verdict, problems=[*verdict.problems, problem])
    return verdict


def _read(
    job: VerifyJob, listing: CarListing, progress: Progress, threads: HashThreads | None
) -> tuple[Verdict, Reading | None, tuple[int, ...]]:
    """Read a CAR; no `Reading` if that couldn't be done. And the items that its source has other bytes of."""
    row = job.car
    stored = stored_cars.of_row(job.project, row)
    expect = Expected(
        payload_cid=row.payload_cid,
        piece_cid_v1=row.piece_cid_v1,
        piece_cid_v2=row.piece_cid_v2,
        car_size=row.car_size,
        piece_size=row.piece_size,
        sha256=row.sha256,
    )
    began = time.time()
    before = stored.look()
    try:
        report = verify_car(
            stored.for_reader(),
            job.profile,
            expect=expect,
            receiver=listing,
            progress=progress,
            sha256=False,
            limits=Limits(threads=threads),
        )
    except FileNotFoundError as error:
        problem = f"{row.file_name} can't be read: {error.strerror}; {job.remedy(row)}"
        return Verdict(row, 0, 0, [problem]), None, ()
    except (OSError, OutlineError, DeadCarError, EncryptionError, StagingError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        cause = error.__cause__
        changed: tuple[int, ...] = ()
        if isinstance(cause, SourceError):
            why, changed = refusals.recorded(cause), cause.other_content
        return Verdict(row, 0, 0, [f"{row.file_name} can't be read: {why}"]), None, changed
    problems = [f"{row.file_name} at byte {f.offset}: {f.message} ({f.code})" for f in report.findings]
    problems += [f"{row.file_name}: {problem}" for problem in listing.differences()]
    right = not problems
    same = before if before is not None and before.regular and stored.look() == before else None
    if right and same is None:
        problems.append(f"{stored.kept_name} was changed while it was read, or is a link: verify it again")
    return Verdict(row, report.blocks, listing.count, problems), Reading(began, same, right), ()
