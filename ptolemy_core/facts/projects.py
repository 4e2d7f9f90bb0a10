"""Projects: how far one is, what runs, what a stage or command did, and who works."""

from typing import Literal, Self

from ptolemy_core.catalog.progress import RunningTask
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.catalog.workers import Worker
from ptolemy_core.facts.cars import CarFacts, RootFacts, StagedCarFacts
from ptolemy_core.facts.fields import Facts, Moment, Unit, field, moment
from ptolemy_core.facts.files import NotStoredFacts
from ptolemy_core.project import Project
from ptolemy_core.status.rate import blitz_progress, task_progress
from ptolemy_core.status.state import ProjectState


class Created(Project):
    """A project's settings, and whether `create` defined it now."""

    created: bool = field("created", "False if it was defined with the same settings before.")


class TaskFacts(Facts):
    """One task that is under way."""

    task: str = field("task", "The work, and of a build the container's number.")
    work: str = field("work", "scan, build, verify, root, manifest or delete-source.")
    container: int | None = field("CAR", "Of a build: the container's number.", Unit.CONTAINER)
    unit: Literal["bytes", "entries"] = field("unit", "What done, total and per_second count.")
    done: int = field("done", "Done so far.")
    total: int | None = field("total", "In all; null where the end isn't known.")
    per_second: float | None = field("rate", "Done a second; null while nothing is done.")
    seconds_left: float | None = field("time left", "Seconds at this rate.", Unit.SECONDS)
    started_at: Moment = field("started", "When it began.")
    updated_at: Moment = field("updated", "When it was last heard of.")

    @classmethod
    def of(cls, task: RunningTask) -> Self:
        """A task of the catalog."""
        progress = task_progress(task)
        return cls(
            task=str(task.task),
            work=str(task.task.work),
            container=task.task.container,
            unit=task.task.work.unit,
            done=task.done,
            total=task.total,
            per_second=progress.rate or None,
            seconds_left=progress.seconds_left,
            started_at=moment(task.started_at),
            updated_at=moment(task.updated_at),
        )


class BuildFacts(Facts):
    """How far the CARs of the plan are. Sizes are bytes, and the total is exact."""

    planned: int = field("CARs planned", "Containers of the plan.")
    built: int = field("CARs built", "How many of them are built.")
    verified: int = field("verified", "How many of the built ones passed verification.")
    delivered: int = field("delivered", "How many of the built ones are marked as delivered.")
    bytes_done: int = field("done", "Bytes of CARs that are built or being built.", Unit.BYTES)
    bytes_total: int = field("total", "Bytes of all planned CARs.", Unit.BYTES)
    bytes_per_second: float | None = field("rate", "Bytes of CARs a second; null while nothing is built.")
    seconds_left: float | None = field("time left", "Seconds at this rate.", Unit.SECONDS)

    @classmethod
    def of(cls, state: ProjectState) -> Self:
        """The CARs of a project's state."""
        progress = blitz_progress(state)
        return cls(
            planned=state.containers,
            built=state.built,
            verified=state.verified,
            delivered=state.delivered,
            bytes_done=progress.done,
            bytes_total=state.car_bytes,
            bytes_per_second=progress.rate or None,
            seconds_left=progress.seconds_left,
        )


class WaitingFacts(Facts):
    """What the next CAR of a serial project waits for."""

    container: int = field("CAR", "Number of the container that is next.", Unit.CONTAINER)
    bytes: int = field(
        "bytes", "Bytes of CARs that must leave staging_dir first; 0: there is space.", Unit.BYTES
    )
    since: Moment = field("since", "When the blitz stopped.")

    @classmethod
    def of(cls, waiting: Waiting) -> Self:
        """A row of the catalog."""
        return cls(container=waiting.number, bytes=waiting.bytes, since=moment(waiting.since))


class StatusFacts(Facts):
    """How far a project is."""

    project: str = field("project", "Name of the project.")
    status: str = field("status", "In words: executing blitz, blitz complete, blitz failed and so on.")
    reason: str | None = field("reason", "Why the last run failed; null: it didn't.")
    run_id: str | None = field("run", "The last run.")
    scanned: bool = field("scanned", "Whether a scan was finished.")
    unplanned: bool = field("unplanned", "Whether the last scan found what no container holds yet.")
    empty: bool = field("empty", "Whether the scans found nothing to store.")
    not_stored: NotStoredFacts = field("in no CAR", "Entries of the last scan that are in no CAR.")
    cars: BuildFacts = field("CARs", "The CARs of the plan.")
    car_storage: str = field("storage", "staged or generated: how CARs that aren't built yet will be stored.")
    dead: int = field("dead CARs", "Generated CARs whose source changed: they can't be read any more.")
    waiting: WaitingFacts | None = field("waiting", "Of a serial project whose staging_dir is full.")
    tasks: list[TaskFacts] = field("tasks", "What is under way now.")

    @classmethod
    def of(
        cls,
        project: str,
        state: ProjectState,
        text: str,
        reason: str | None,
        run_id: str | None,
        **more: object,
    ) -> Self:
        """A project's state, and what its last run says; `more` are the fields that a derived model has besides."""
        return cls(
            project=project,
            status=text,
            reason=reason,
            run_id=run_id,
            scanned=state.scanned,
            unplanned=state.unplanned,
            empty=state.is_empty,
            not_stored=NotStoredFacts.of(state.not_stored),
            cars=BuildFacts.of(state),
            car_storage=state.car_storage,
            dead=state.dead,
            waiting=None if state.waiting is None else WaitingFacts.of(state.waiting),
            tasks=[TaskFacts.of(task) for task in state.tasks],
            **more,
        )


class LocalStatusFacts(StatusFacts):
    """How far a project is, with a look into its staging_dir."""

    target_dir: str = field("target_dir", "The folder that is stored.")
    staging_dir: str = field("staging_dir", "The folder for its CARs.")
    missing: int | None = field(
        "missing", "Built CARs that are neither whole in staging_dir nor delivered; null: it can't be read."
    )


class LeftOutFacts(Facts):
    """An entry that a scan left out."""

    path: str = field("path", "As in the list of skipped entries.")
    reason: str = field("reason", "Why.")


class ScanFacts(Facts):
    """What target_dir holds, as the last scan saw it."""

    project: str = field("project", "Name of the project.")
    files: int = field("files", "Regular files.")
    empty_files: int = field("empty files", "How many of them have no bytes.")
    links: int = field("links", "Symbolic links.")
    empty_folders: int = field("empty folders", "Folders with nothing in them.")
    left_out: int = field("left out", "Entries that can't go into a CAR.")
    data_bytes: int = field("data", "Bytes of all files.", Unit.BYTES)
    largest: int = field("largest file", "Bytes of the largest file.", Unit.BYTES)
    left_out_sample: list[LeftOutFacts] = field("left out", "Some of those left out.")
    not_stored: NotStoredFacts = field("in no CAR", "Entries that are in no CAR and won't be.")
    dead: list[str] = field("dead CARs", "Generated CARs that this scan found dead, with what changed.")
    empty: bool = field("empty", "Whether there is nothing to store.")


class RunFacts(Facts):
    """What `ptolemy run` made."""

    project: str = field("project", "Name of the project.")
    cars: list[StagedCarFacts] = field("CARs", "All built CARs of the project.")
    manifest: str | None = field(
        "manifest", "Path of the manifest; null: none is written yet, or the run ended earlier."
    )
    root: RootFacts | None = field(
        "root", "The root of the data set; null: nothing is stored, or the run ended earlier."
    )
    not_stored: NotStoredFacts = field("in no CAR", "Entries that are in no CAR and won't be.")


class ManifestFacts(Facts):
    """What `ptolemy manifest` wrote."""

    manifest: str = field("manifest", "Path of the manifest.")
    summary: str = field("summary", "Path of the summary as JSON.")
    table: str = field("table", "Path of the summary as CSV.")
    cars: int = field("CARs", "How many CARs are in it.")
    rows: int = field("rows", "How many rows it has.")
    keys: str | None = field("data keys", "Path of the wrapped data keys; null: it isn't encrypted.")


class PreparedFacts(Facts):
    """What `ptolemy prep` made."""

    cars: list[CarFacts] = field("CARs", "All CARs of the folder.")
    built: int = field("built", "How many of them this run built; the others were there already.")
    root: RootFacts = field("root", "The root of the data set.")
    manifest: ManifestFacts = field("manifest", "Paths of the manifest and its summary.")
    not_stored: NotStoredFacts = field("in no CAR", "Entries that are in no CAR and won't be.")


class VerifiedFacts(Facts):
    """What `ptolemy verify` found; if anything is wrong, the command fails instead."""

    project: str = field("project", "Name of the project.")
    ok: Literal[True] = field("ok", "Always true.")
    cars: int = field("CARs", "CARs in staging_dir, all of them verified.")
    read: int = field("read", "How many of them were read this time.")
    delivered: int = field("delivered", "CARs that are delivered and not there any more.")
    dead: int = field("dead", "Generated CARs whose source changed: they weren't read.")
    not_stored: NotStoredFacts = field("in no CAR", "Entries that are in no CAR and won't be.")


class DeletionFacts(Facts):
    """What `ptolemy delete-source` deleted, or would."""

    deleted: bool = field("deleted", "False: a dry run, nothing was deleted.")
    files: int = field("entries", "Files, links and empty folders.")
    bytes: int = field("bytes", "Bytes of the files.", Unit.BYTES)
    folders: int = field("folders", "Folders that were left empty, and removed.")
    kept: dict[str, int] = field("kept", "How many entries stay, by reason.")
    unproven: int = field(
        "unproven", "How many of them stay because providers didn't show that they hold the piece."
    )
    sample: list[tuple[str, int]] = field("sample", "The first of them: path and bytes.")
    kept_sample: list[tuple[str, str]] = field(
        "kept sample", "The first of those that stay: path and reason."
    )


class LogLineFacts(Facts):
    """A line of what a run said."""

    at: Moment = field("time", "When.")
    level: str = field("level", "debug, info, warning, error or critical.")
    step: str | None = field("step", "The step that said it; null: the run itself.")
    message: str = field("message", "What it said.")


class RemovedFacts(Facts):
    """What the removal of a project removed, or would."""

    project: str = field("project", "Its name.")
    removed: bool = field("removed", "False: a dry run, nothing was removed.")
    cars: int = field("CARs", "Built CARs that the catalog had of it.")
    undelivered: int = field("undelivered", "How many of them weren't marked as delivered.")
    deals: int = field("deals", "Deals of it that aren't over.")
    obstacle: str | None = field("obstacle", "Why it needs force; null: it doesn't.")
    files: list[str] = field(
        "files", "Files in staging_dir that were deleted, or would be; none unless asked for."
    )
    bytes: int = field("bytes", "Bytes of these files.", Unit.BYTES)


class WorkerFacts(Facts):
    """A process that builds CARs."""

    host: str = field("host", "Its machine.")
    pid: int = field("process", "Its process id.")
    project: str | None = field("project", "What it builds now; null while it waits for work.")
    container: int | None = field("container", "The container that it builds.", Unit.CONTAINER)
    started_at: Moment = field("since", "When it began.")
    heartbeat_at: Moment = field("heartbeat", "When it was last heard of.")
    lost: bool = field("lost", "No heartbeat for a minute: it was killed, or is cut off.")

    @classmethod
    def of(cls, worker: Worker, now: float) -> Self:
        """A worker of the catalog as it is `now`, in seconds since 1970."""
        return cls(
            host=worker.host,
            pid=worker.pid,
            project=worker.project,
            container=worker.container,
            started_at=moment(worker.started_at),
            heartbeat_at=moment(worker.heartbeat_at),
            lost=worker.is_lost(now),
        )
