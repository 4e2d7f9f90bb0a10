"""A restore into an object store: files are restored to a temporary folder, a few at a time, and put into the store.

A file is restored and checked as into any folder before a byte of it is sent, and a store shows an object only when
it is whole. An object has its file's CID as metadata; one that is there with the same CID and size is kept, so that a
restore that was cut off goes on. Stores have no links and no empty folders.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from ptolemy_core.catalog.views import Stored
from ptolemy_core.dag import cid
from ptolemy_core.progress import Progress
from ptolemy_core.restore.project import RestoreJob, Writing, work
from ptolemy_core.restore.report import Report
from ptolemy_core.restore.target import TargetError
from ptolemy_core.source.remote import open_store
from ptolemy_core.source.store_errors import GoneError, StoreError, of_exception, retried
from ptolemy_core.tree import SEPARATOR, Kind
from ptolemy_core.urls import Location

BATCH = 4 << 30
"""Bytes of files that are restored before they are sent; a larger file is restored by itself."""

_FILES = 5_000
_THREADS = 8
CID = "ptolemy-cid"
"""Key of an object's metadata."""


@dataclass(frozen=True, slots=True)
class StoreTarget:
    """A prefix of a store that is restored into.

    Attributes:
        location: its URL.
        profile: of the credentials; None: the environment's.
        batch: bytes of files that are restored before they are sent.
    """

    location: Location
    profile: str | None = None
    batch: int = BATCH


def work_to_store(
    job: RestoreJob,
    entries: Iterable[Stored],
    to: StoreTarget,
    how: Writing,
    *,
    progress: Progress | None = None,
) -> Report:
    """Restore entries into a store.

    Args:
        job: what is needed.
        entries: what to restore, in path order.
        to: where.
        how: to write; objects that are there are replaced only where it says so.
        progress: called with bytes done since the last call.

    Raises:
        SettingsError: the store can't be opened.
        TargetError: it can't be written.
        RestoreError: a CAR can't be opened, or is another than its name says.
    """
    sender = _Sender(open_store(to.location, to.profile), to.location, how.replace, progress=progress)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="put") as pool:
        for batch in _batches(entries, to.batch):
            todo = [
                one for one, wanted in zip(batch, pool.map(sender.is_wanted, batch), strict=True) if wanted
            ]
            if not todo:
                continue
            folder = tempfile.mkdtemp(prefix="ptolemy-restore-")
            try:
                needs = replace(job.needs, size=sum(one.size for one in todo))
                part = work(replace(job, needs=needs), todo, os.fsencode(folder), replace(how, sparse=True))
                sender.take(part)
                for _ in pool.map(lambda one, place=folder: sender.put(place, one), todo):
                    pass
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return sender.report


def _batches(entries: Iterable[Stored], most: int) -> Iterator[list[Stored]]:
    batch: list[Stored] = []
    size = 0
    for entry in entries:
        if batch and (size + entry.size > most or len(batch) >= _FILES):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += entry.size
    if batch:
        yield batch


@dataclass
class _Sender:
    """Puts restored files into a store. Its methods are called by several threads."""

    store: Any
    location: Location
    replaces: bool
    report: Report = field(default_factory=Report)
    progress: Progress | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_wanted(self, entry: Stored) -> bool:
        """Whether an entry is to be restored; where it can't be or needn't, the report says so."""
        if entry.kind != Kind.FILE:
            what = "links" if entry.kind == Kind.SYMLINK else "empty folders"
            self.report.problem(entry.path, f"an object store has no {what}: restore it to a folder")
            return False
        there = self._there(entry)
        if there is None:
            return True
        size, known = there
        if size == entry.size and known is not None and known == _cid_of(entry):
            with self.lock:
                self.report.kept += 1
                self._advance(entry.size)
            return False
        if not self.replaces:
            self.report.problem(entry.path, "another object is there: --overwrite replaces it")
        return self.replaces

    def _there(self, entry: Stored) -> tuple[int, str | None] | None:
        """Size and CID of the object at an entry's key; None if there is none."""
        import obstore

        def ask() -> tuple[int, str | None]:
            try:
                found = obstore.get(self.store, self._key(entry))
                attributes: Any = found.attributes
                return found.meta["size"], attributes.get(CID)
            except Exception as error:
                raise of_exception(error) from None

        try:
            return retried(ask)
        except GoneError:
            return None
        except StoreError as error:
            raise self._unwritable(error) from None

    def put(self, folder: str, entry: Stored) -> None:
        """Send a file, if it was restored."""
        import obstore

        place = os.path.join(os.fsencode(folder), entry.path.replace(SEPARATOR, b"/"))
        if not os.path.lexists(place):
            return  # the report says why
        known = _cid_of(entry)

        def send() -> None:
            try:
                with open(place, "rb") as file:
                    obstore.put(
                        self.store, self._key(entry), file, attributes={CID: known} if known else None
                    )
            except Exception as error:
                raise of_exception(error) from None

        try:
            retried(send)
        except StoreError as error:
            raise self._unwritable(error) from None
        with self.lock:
            self.report.files += 1
            self.report.written_bytes += entry.size
            self._advance(entry.size)
        with suppress(OSError):
            os.unlink(place)

    def take(self, part: Report) -> None:
        """What went wrong in a batch."""
        self.report.problems += part.problems
        self.report.more_problems += part.more_problems
        self.report.warnings += [one for one in part.warnings if one not in self.report.warnings]

    def _advance(self, size: int) -> None:
        if self.progress:
            self.progress(size)

    def _key(self, entry: Stored) -> str:
        return self.location.prefix + entry.path.replace(SEPARATOR, b"/").decode("utf-8", "surrogateescape")

    def _unwritable(self, error: StoreError) -> TargetError:
        return TargetError(f"{self.location} can't be written ({error}): check the name and the credentials")


def _cid_of(entry: Stored) -> str | None:
    """A file's CID as text, if it is known."""
    binary = entry.cid or (entry.shards[0].cid if len(entry.shards) == 1 else None)
    return None if binary is None else cid.to_text(binary)
