"""Deleting sources whose every shard is in a verified and delivered CAR, by explicit command alone.

Each file is read once more right before it goes: what is deleted has the CID that the catalog has. What is deleted is
journaled before: in the catalog, and in a file beside it (see `deletion_log`).
"""

import itertools
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from ptolemy_core.catalog import cars, deletions, projects
from ptolemy_core.catalog.deletions import Intent, Source
from ptolemy_core.catalog.outage import DATABASE_ERRORS
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.stitched import stitch_files
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import DeletionError, StageOrderError, UnavailableError
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.source.content import ContentReader
from ptolemy_core.source.safe_delete import DiffersError, OpenFolder, private_name
from ptolemy_core.source.stamps import wrapped
from ptolemy_core.stages.copies import Copies
from ptolemy_core.stages.deal import settle_deals
from ptolemy_core.stages.deletion_log import DeletionLog
from ptolemy_core.stages.evidence import Looking
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.stages.settle import settle
from ptolemy_core.stages.source_content import SourceContent
from ptolemy_core.tree import KIND_NAMES, Kind, paths

_Path: TypeAlias = bytes

_BATCH = 500
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Options:
    """How sources are deleted.

    Attributes:
        really: delete; else only look.
        folders: remove empty folders too: those that the scan saw, and those that are left empty.
        ignore: projects over the same files that needn't be delivered before.
        trust_stamps: don't read files again whose size, mtime, ctime and inode all are as the build read them.
        trust_marks: also where a CAR had left staging_dir before it was marked as delivered.
        trust_deals: also where the providers of the last copies didn't show that they hold them.
    """

    really: bool = False
    folders: bool = False
    ignore: Collection[str] = ()
    trust_stamps: bool = False
    trust_marks: bool = False
    trust_deals: bool = False


LOOK = Options()
"""Only look: a dry run."""


@dataclass
class DeletionResult:
    """What was deleted, or in a dry run: what would be.

    Attributes:
        deleted: whether it is no dry run.
        files, bytes: files, links (and with folders: empty folders of the scan), and the files' bytes.
        folders: that were left empty, and removed.
        kept: how many entries stay, by reason.
        unproven: how many of them stay because providers didn't show that they hold the piece.
        sample, kept_sample: the first of those deleted, with their bytes; and of those that stay, with the reason.
    """

    deleted: bool
    files: int = 0
    bytes: int = 0
    folders: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    unproven: int = 0
    sample: list[tuple[str, int]] = field(default_factory=list)
    kept_sample: list[tuple[str, str]] = field(default_factory=list)

    def take(self, source: Source) -> None:
        """Count one that is deleted."""
        self.files += 1
        self.bytes += source.size if source.kind == Kind.FILE else 0
        if len(self.sample) < _SHOWN:
            self.sample.append((paths.display(source.path), source.size))

    def hold(self, path: _Path, reason: str) -> None:
        """Count one that stays."""
        self.kept[reason] = self.kept.get(reason, 0) + 1
        if len(self.kept_sample) < _SHOWN:
            self.kept_sample.append((paths.display(path), reason))


def delete_source(
    catalog: Catalog,
    name: str,
    chosen: Sequence[bytes] = (),
    options: Options = LOOK,
    *,
    journal_dir: str | None = None,
    profile: Profile = UNIXFS_V1_2025,
    progress: Progress | None = None,
) -> DeletionResult:
    """Delete a project's delivered sources; what an interrupted call left undone is settled first.

    Args:
        catalog: where the project is.
        name: the project's.
        chosen: NUL-joined paths below target_dir, of files or folders; without any, all.
        options: what may be deleted.
        journal_dir: folder of the JSON-lines journal, by default `<home>/deleted`.
        profile: of the DAG.
        progress: called with the bytes of files that were read, or needn't be, since the last call.

    Raises:
        UnknownProjectError, BusyError: no such project; it is being scanned or deleted from elsewhere.
        StageOrderError: it isn't scanned.
        DeletionError: target_dir can't be opened, a chosen path isn't in the scan, another project needs it, or the
            journal can't be written.
    """
    project = projects.get(catalog, name)
    if project.is_remote:
        raise DeletionError(
            f"target_dir {project.target_dir!r} is a URL, and Ptolemy deletes nothing there: once `ptolemy status "
            f"{name}` says that its CARs are delivered, delete with the store's own tools"
        )
    require(catalog, name, Stage.DELETE_SOURCE)
    wanted = _outermost(chosen)
    for path in wanted:
        if path and not deletions.exists(catalog, name, path):
            raise DeletionError(
                f"the last scan of {name!r} found nothing at {paths.display(path)!r}: give paths below "
                f"{project.target_dir}"
            )
    settle_deals(catalog, name)
    looking = Looking(profile) if options.really else None
    _require_nobody_else(catalog, project, options, looking)
    run = _Run(
        catalog, project, options, DeletionResult(options.really), _copies(catalog, project, options, looking)
    )
    with _open_target(project) as folder:
        if not options.really:
            for batch in _batches(_selected(catalog, name, wanted, options.folders)):
                for source, _ in run.judged(folder, batch):
                    run.result.take(source)
            return run.result
        _delete(run, folder, wanted, journal_dir, profile, progress)
    run.result.unproven = sum(run.result.kept.get(reason, 0) for reason in run.copies.unproven)
    return run.result


def _delete(
    run: "_Run",
    folder: OpenFolder,
    wanted: Sequence[bytes],
    journal_dir: str | None,
    profile: Profile,
    progress: Progress | None,
) -> None:
    """Delete what may be deleted at or below the wanted paths of the open target folder."""
    catalog, name, options = run.catalog, run.project.name, run.options
    busy = f"project {name!r} is being scanned: wait for that scan"
    total = sum(deletions.data_bytes(catalog, name, path) for path in wanted)
    with (
        lock(catalog, name) as check_delete,
        catalog.lock(f"scan {name}", busy=busy) as check_scan,
        DeletionLog(name, journal_dir) as log,
        Reporter(catalog, name, Task(Work.DELETE_SOURCE), total) as reporter,
    ):

        def advance(step: int) -> None:
            reporter.advance(step)
            if progress:
                progress(step)

        with ContentReader(profile, advance) as reader:
            content = SourceContent.of(catalog, run.project, reader, profile)
            for path, reason in settle(catalog, name, folder, content, log):
                run.result.hold(path, reason)
            stitch_files(catalog, name, profile)  # where that was cut off, a split file has no CID yet
            for batch in _batches(_selected(catalog, name, wanted, options.folders)):
                _require_locks(check_delete, check_scan)
                run.delete(folder, batch, log, content)
        if options.folders:
            for path in wanted:
                run.remove_folders(folder, path, log)


def lock(catalog: Catalog, name: str) -> AbstractContextManager[Callable[[], None]]:
    """Held while sources of a project are deleted, and while a delivery of it is taken back."""
    return catalog.lock(
        f"delete {name}", busy=f"sources of project {name!r} are being deleted: wait until that ends"
    )


def _require_locks(*checks: Callable[[], None]) -> None:
    """See that the locks are still ours: on Postgres they end with their connection.

    Raises:
        UnavailableError: they aren't.
    """
    try:
        for check in checks:
            check()
    except DATABASE_ERRORS as error:
        raise UnavailableError(
            "the database connection was lost, and its locks with it: run this again to finish what was started"
        ) from error


@contextmanager
def _open_target(project: Project) -> Iterator[OpenFolder]:
    try:
        folder = OpenFolder(project.target_bytes)
    except OSError as error:
        raise DeletionError(
            f"target_dir {project.target_dir!r} can't be opened ({error.strerror}): check that it exists, is "
            "mounted, and isn't a link"
        ) from error
    try:
        with folder:
            yield folder
    except OSError as error:
        raise DeletionError(
            f"the disk of {project.target_dir} fails ({error.strerror}): check it, then run this again to finish "
            "what was started"
        ) from error


def _selected(catalog: Catalog, name: str, wanted: Iterable[bytes], folders: bool) -> Iterator[Source]:
    for path in wanted:
        for source in deletions.sources(catalog, name, path):
            if folders or source.kind != Kind.DIRECTORY:
                yield source


def _outermost(chosen: Sequence[bytes]) -> list[bytes]:
    """The chosen paths without those below another of them; the root if there are none."""
    kept: list[bytes] = []
    for path in sorted(set(chosen or [b""])):
        if not kept or not paths.at_or_below(path, kept[-1]):
            kept.append(path)
    return kept


def _batches(sources: Iterator[Source]) -> Iterator[list[Source]]:
    while batch := list(itertools.islice(sources, _BATCH)):
        yield batch


def _copies(catalog: Catalog, project: Project, options: Options, looking: Looking | None) -> Copies:
    return Copies(catalog, project, looking, options.trust_marks, options.trust_deals)


def _require_nobody_else(
    catalog: Catalog, project: Project, options: Options, looking: Looking | None
) -> None:
    """See that every other project over these files is delivered wholly too.

    Raises:
        DeletionError: one isn't.
    """
    ours = project.target_dir
    for name in projects.names(catalog):
        other = projects.get(catalog, name)
        theirs = other.target_dir
        if name == project.name or name in options.ignore or other.is_remote:
            continue
        inside = _place_within(ours, theirs)
        if inside is None:
            if _place_within(theirs, ours) is None:
                continue
            inside = ""
        try:
            require(catalog, name, Stage.DELETE_SOURCE)
            settle_deals(catalog, name)
            run = _Run(
                catalog, other, options, DeletionResult(False), _copies(catalog, other, options, looking)
            )
            found = _batches(deletions.sources(catalog, name, paths.from_display(inside)))
            reason = next((reason for batch in found for _, reason in run.reasons(batch) if reason), None)
        except StageOrderError:
            reason = "not scanned"
        if reason:
            raise DeletionError(
                f"project {name!r} stores files of {theirs} too, and some of them are: {reason}; deliver its CARs "
                f"first, or leave it out of this check: --ignore-project {name}"
            )


def _place_within(folder: str, top: str) -> str | None:
    """The path of a folder below another, empty where both are the same; None: it isn't there.

    By what the folders are, too: a bind mount or a link gives one folder two names.
    """
    if os.path.commonpath([folder, top]) == top:
        return _below(folder, top)
    try:
        found = os.stat(top)
    except OSError:
        return None
    above = folder
    while True:
        with suppress(OSError):
            if os.path.samestat(os.stat(above), found):
                return _below(folder, above)
        if above == os.path.dirname(above):
            return None
        above = os.path.dirname(above)


def _below(folder: str, top: str) -> str:
    return "" if folder == top else os.path.relpath(folder, top)


@dataclass(frozen=True, slots=True)
class _Run:
    """One call: whose sources are deleted, how, and what became of them."""

    catalog: Catalog
    project: Project
    options: Options
    result: DeletionResult
    copies: Copies

    def reasons(self, batch: Sequence[Source]) -> Iterator[tuple[Source, str | None]]:
        """Each entry with why neither the catalog nor its CARs, as they are now, let it be deleted; None: they do."""
        ids = {container for source in batch if not source.kept_because for container in source.containers}
        unsafe = {
            key: self.copies.why_unsafe(row) for key, row in cars.of_containers(self.catalog, ids).items()
        }
        for source in batch:
            theirs = (unsafe.get(key) for key in sorted(source.containers))
            yield source, source.kept_because or next((reason for reason in theirs if reason), None)

    def judged(self, folder: OpenFolder, batch: Sequence[Source]) -> Iterator[tuple[Source, int]]:
        """Those of the batch that may be deleted, with their inodes; the others are counted. No content is read."""
        for source, reason in self.reasons(batch):
            if reason is None:
                try:
                    yield source, folder.look(source.known())
                    continue
                except DiffersError as differs:
                    reason = str(differs)
            self.result.hold(source.path, reason)

    def delete(
        self, folder: OpenFolder, batch: Sequence[Source], log: DeletionLog, content: SourceContent
    ) -> None:
        """Delete those of the batch that may be deleted: judged, journaled, deleted, journaled again."""
        intents = [Intent(source, inode, private_name()) for source, inode in self.judged(folder, batch)]
        if not intents:
            return
        for intent in intents:
            told = sorted({self.copies.told.get(key, "") for key in intent.source.containers})
            log.write("deleting", intent.source.path, **_facts(intent), copies=told)
        log.sync()
        deletions.intend(self.catalog, self.project.name, folder.inode, intents)
        done: list[int] = []
        kept: list[int] = []
        for intent in intents:
            source = intent.source
            try:
                folder.delete(
                    source.known(intent.inode), intent.aside, _Confirm(source, content, self.options)
                )
            except DiffersError as differs:
                kept.append(source.file_id)
                self.result.hold(source.path, str(differs))
                log.write("kept", source.path, reason=str(differs))
            else:
                done.append(source.file_id)
                self.result.take(source)
                log.write("deleted", source.path)
        folder.sync()
        deletions.finish(self.catalog, done)
        deletions.forget(self.catalog, kept)

    def remove_folders(self, folder: OpenFolder, below: bytes, log: DeletionLog) -> None:
        """Remove the folders that deletions left empty, the deepest first."""
        left = deletions.folders(self.catalog, self.project.name, below)
        for path in sorted(left, key=lambda path: (-len(paths.names(path)), path)):
            if folder.remove_empty(path):
                self.result.folders += 1
                log.write("folder removed", path)


@dataclass(frozen=True, slots=True)
class _Confirm:
    """Says of an open file why it isn't what the CARs hold: by its CID, or if stamps are trusted, by those."""

    source: Source
    content: SourceContent
    options: Options

    def __call__(self, descriptor: int, status: os.stat_result) -> str | None:
        now = (wrapped(status.st_ctime_ns), wrapped(status.st_ino))
        if self.options.trust_stamps and self.source.state == now:
            return None
        if self.source.cid is None:
            return "its CID isn't known yet: run ptolemy blitz"
        if self.source.header is not None and self.content.cipher is None:
            return "the key of this project isn't there to compare it with its CARs: import the key"
        if self.content.cid(descriptor, self.source) != self.source.cid:
            return (
                "its content differs from its CARs, though size and time are the same: touch it, and run the "
                "project again"
            )
        return None


def _facts(intent: Intent) -> dict[str, object]:
    source = intent.source
    return {
        "kind": KIND_NAMES[source.kind],
        "size": source.size,
        "mtime_ns": source.mtime,
        "cid": None if source.cid is None else cid.to_text(source.cid),
        "aside": intent.aside.decode(),
    }
