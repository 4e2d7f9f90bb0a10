"""Deleting sources whose every shard stands in a verified and delivered CAR, by explicit command alone.

What is deleted is journaled before: in the catalog, and in `<home>/deleted/<project>.jsonl`. The home is the folder
that holds the state and is kept; the staging folder is emptied by whoever fetches CARs.
"""

import itertools
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType

from ptolemy_core.catalog import deletions, home, projects
from ptolemy_core.catalog.deletions import Source
from ptolemy_core.catalog.progress import Reporter, Task, Work
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.errors import DeletionError, StageOrderError
from ptolemy_core.project import Project
from ptolemy_core.source.safe_delete import Below
from ptolemy_core.stages.order import Stage, require
from ptolemy_core.tree import SEPARATOR, Kind, paths

_BATCH = 500
_SHOWN = 20


@dataclass
class DeletionResult:
    """What was deleted, or in a dry run: what would be.

    Attributes:
        deleted: whether it is no dry run.
        files, bytes: files, links (and with folders: empty folders of the scan), and the files' bytes.
        folders: that were left empty, and removed.
        held: how many entries stay, by reason.
        sample, held_sample: the first of those deleted, with their bytes; and of those that stay, with the reason.
    """

    deleted: bool
    files: int = 0
    bytes: int = 0
    folders: int = 0
    held: dict[str, int] = field(default_factory=dict)
    sample: list[tuple[str, int]] = field(default_factory=list)
    held_sample: list[tuple[str, str]] = field(default_factory=list)

    def take(self, source: Source) -> None:
        """Count one that is deleted."""
        self.files += 1
        self.bytes += source.size if source.kind == Kind.FILE else 0
        if len(self.sample) < _SHOWN:
            self.sample.append((paths.display(source.path), source.size))

    def hold(self, source: Source, reason: str) -> None:
        """Count one that stays."""
        self.held[reason] = self.held.get(reason, 0) + 1
        if len(self.held_sample) < _SHOWN:
            self.held_sample.append((paths.display(source.path), reason))


def delete_source(
    catalog: Catalog,
    name: str,
    chosen: Sequence[bytes] = (),
    *,
    really: bool = False,
    folders: bool = False,
    ignore: Collection[str] = (),
    journal_dir: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> DeletionResult:
    """Delete a project's delivered sources; what an interrupted call left undone is settled first.

    Args:
        catalog: that holds the project.
        name: the project's.
        chosen: NUL-joined paths below target_dir, of files or folders; without any, all.
        really: delete; else only look.
        folders: remove empty folders too: those that the scan saw, and those that are left empty.
        ignore: projects over the same files that needn't be delivered before.
        journal_dir: folder of the JSON-lines journal, by default `<home>/deleted`.
        progress: called with how many entries were looked at since the last call.

    Raises:
        UnknownProjectError, BusyError: no such project; it is being scanned or deleted from elsewhere.
        StageOrderError: it isn't scanned.
        DeletionError: target_dir can't be opened, a chosen path isn't in the scan, or another project needs it.
    """
    project = projects.get(catalog, name)
    require(catalog, name, Stage.DELETE_SOURCE)
    wanted = _outermost(chosen)
    for path in wanted:
        if path and not deletions.exists(catalog, name, path):
            raise DeletionError(
                f"the last scan of {name!r} saw nothing at {paths.display(path)!r}: give paths below "
                f"{project.target_dir}"
            )
    _require_nobody_else(catalog, project, ignore)
    try:
        below = Below(project.target_bytes)
    except OSError as error:
        raise DeletionError(
            f"target_dir {project.target_dir!r} can't be opened ({error.strerror}): check that it is there, mounted, "
            "and no link"
        ) from error
    result = DeletionResult(really)
    with below:
        if not really:
            for source in _selected(catalog, name, wanted, folders):
                reason = source.held_back or below.differs(source)
                result.take(source) if reason is None else result.hold(source, reason)
            return result
        scanning = catalog.lock(f"scan {name}", busy=f"project {name!r} is being scanned: wait for that scan")
        with lock(catalog, name), scanning, Log(name, journal_dir) as log:
            _settle(catalog, name, below)
            deleter = _Deleter(catalog, name, below, log, result)
            with Reporter(catalog, name, Task(Work.DELETE_SOURCE), None) as reporter:
                for batch in _batches(_selected(catalog, name, wanted, folders)):
                    deleter.take(batch)
                    reporter.advance(len(batch))
                    if progress:
                        progress(len(batch))
            if folders:
                for path in wanted:
                    deleter.remove_folders(path)
    return result


def lock(catalog: Catalog, name: str) -> AbstractContextManager[object]:
    """Held while sources of a project are deleted, and while a delivery of it is taken back."""
    return catalog.lock(
        f"delete {name}", busy=f"sources of project {name!r} are being deleted: wait until that ends"
    )


def _selected(catalog: Catalog, name: str, wanted: Iterable[bytes], folders: bool) -> Iterator[Source]:
    for path in wanted:
        for source in deletions.sources(catalog, name, path):
            if folders or source.kind != Kind.DIRECTORY:
                yield source


def _outermost(chosen: Sequence[bytes]) -> list[bytes]:
    """The chosen paths without those that stand below another of them; the root if there are none."""
    kept: list[bytes] = []
    for path in sorted(set(chosen or [b""])):
        if not kept or not (kept[-1] == b"" or path.startswith(kept[-1] + SEPARATOR)):
            kept.append(path)
    return kept


def _batches(sources: Iterator[Source]) -> Iterator[list[Source]]:
    while batch := list(itertools.islice(sources, _BATCH)):
        yield batch


def _require_nobody_else(catalog: Catalog, project: Project, ignore: Collection[str]) -> None:
    """See that every other project over these files is delivered wholly too.

    Raises:
        DeletionError: one isn't.
    """
    ours = project.target_dir
    for name in projects.names(catalog):
        theirs = projects.get(catalog, name).target_dir
        if name == project.name or name in ignore or os.path.commonpath([ours, theirs]) not in (ours, theirs):
            continue
        inside = os.path.relpath(ours, theirs) if ours.startswith(theirs.rstrip("/") + "/") else ""
        try:
            require(catalog, name, Stage.DELETE_SOURCE)
            found = deletions.sources(catalog, name, paths.from_display(inside))
            reason = next((source.held_back for source in found if source.held_back), None)
        except StageOrderError:
            reason = "not scanned"
        if reason:
            raise DeletionError(
                f"project {name!r} stores files of {theirs} too, and some of them are: {reason}; deliver its CARs "
                f"first, or say that it needn't have them: --ignore-project {name}"
            )


def _settle(catalog: Catalog, name: str, below: Below) -> None:
    """Bring the journal in line with the disk where an earlier call was interrupted."""
    unfinished = list(deletions.rows(catalog, name, unfinished=True))
    there = {row.file_id for row in unfinished if below.stands(row)}
    deletions.forget(catalog, sorted(there))
    deletions.finish(catalog, [row.file_id for row in unfinished if row.file_id not in there])


class Log:
    """The JSON-lines journal of one project: a line per entry before it is deleted, and one after."""

    def __init__(self, project: str, folder: str | None = None) -> None:
        folder = folder or os.path.join(home(), "deleted")
        os.makedirs(folder, exist_ok=True)
        self._project = project
        self._file = open(os.path.join(folder, f"{project}.jsonl"), "a", encoding="utf-8")  # noqa: SIM115
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def __enter__(self) -> "Log":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sync()
        self._file.close()

    def write(self, event: str, path: bytes, **facts: object) -> None:
        """Add a line; `path_hex` has the path's very bytes, names joined by `/`."""
        exact = path.replace(SEPARATOR, b"/").hex()
        row = {"time": time.time(), "event": event, "project": self._project, "path": paths.display(path)}
        self._file.write(json.dumps(row | {"path_hex": exact} | facts) + "\n")

    def sync(self) -> None:
        """See that all lines are on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())


class _Deleter:
    """Deletes in batches: judged, journaled, deleted, journaled again."""

    def __init__(self, catalog: Catalog, name: str, below: Below, log: Log, result: DeletionResult) -> None:
        self._catalog = catalog
        self._name = name
        self._below = below
        self._log = log
        self._result = result

    def take(self, batch: Sequence[Source]) -> None:
        """Delete those of the batch that may be deleted."""
        ready: list[Source] = []
        for source in batch:
            reason = source.held_back or self._below.differs(source)
            if reason is None:
                ready.append(source)
            else:
                self._result.hold(source, reason)
        if not ready:
            return
        for source in ready:
            self._log.write("deleting", source.path, **_facts(source))
        self._log.sync()
        deletions.intend(self._catalog, self._name, ready)
        done: list[int] = []
        kept: list[int] = []
        for source in ready:
            reason = self._below.delete(source)
            if reason is None:
                done.append(source.file_id)
                self._result.take(source)
                self._log.write("deleted", source.path)
            else:
                kept.append(source.file_id)
                self._result.hold(source, reason)
                self._log.write("kept", source.path, reason=reason)
        self._below.sync()
        deletions.finish(self._catalog, done)
        deletions.forget(self._catalog, kept)

    def remove_folders(self, below: bytes) -> None:
        """Remove the folders that deletions left empty, the deepest first."""
        left = deletions.folders(self._catalog, self._name, below)
        for path in sorted(left, key=lambda path: (-path.count(SEPARATOR), path)):
            if self._below.remove_empty(path):
                self._result.folders += 1
                self._log.write("folder removed", path)


def _facts(source: Source) -> dict[str, object]:
    return {
        "kind": Kind(source.kind).name.lower(),
        "size": source.size,
        "mtime_ns": source.mtime,
        "cid": None if source.cid is None else cid.to_text(source.cid),
    }
