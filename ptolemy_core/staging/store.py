"""A staging area in an object store: a prefix where CARs appear whole, or not at all.

It has the methods of `area.StagingArea`. A CAR is sent by multipart upload, so that a store shows it only when it is
complete; what a cut upload left is given up before the next attempt. Outlines are objects below `outlines/`. What
isn't complete, as an outline while its CAR is built, is in a local folder of each machine.
"""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from ptolemy_core import commp, urls
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outlined import OutlineOutput, outline_name
from ptolemy_core.errors import SettingsError, SourceError, StagingError
from ptolemy_core.prefetch import prefetch
from ptolemy_core.source.objects import ObjectSource
from ptolemy_core.source.remote import open_remote, open_writer, unfinished_uploads
from ptolemy_core.source.stamps import Stamp
from ptolemy_core.source.store_errors import StoreError, of_exception, retried
from ptolemy_core.staging import outline_prefixes
from ptolemy_core.staging.area import OUTLINES, StagedFile, StagingArea, outline_folder
from ptolemy_core.staging.outline_cache import outline_cache
from ptolemy_core.staging.outline_object import OutlineObject
from ptolemy_core.staging.outline_prefixes import Superseded
from ptolemy_core.staging.output import Output, Space
from ptolemy_core.staging.sent_outline import send_outline
from ptolemy_core.staging.store_car import StoreCar, entry_path, unreachable
from ptolemy_core.staging.whole_objects import WholeObjects
from ptolemy_core.tree import SEPARATOR, Kind

_READ = 16 << 20
_PART = 16 << 20
"""Bytes of a part of an upload: at most 10,000 of them hold the largest CAR."""

_AT_ONCE = 4
"""Parts that are sent at the same time."""

_PLENTY = 1 << 62
"""Free bytes of a store, as far as anybody knows."""

_PROBE = ".ptolemy"

_CAR = re.compile(r"baga[a-z2-7]+\.car")
_GIVEN_UP = 24 * 3600.0
"""Seconds after which an upload that isn't complete is dead: a CAR takes hours at most."""


@dataclass(frozen=True, slots=True)
class StoreArea:
    """A prefix of an object store.

    Attributes:
        url: of it, without a slash at its end.
        profile: of the credentials; None: the environment's.
        local: folder of this machine for what isn't a complete CAR.
    """

    url: str
    profile: str | None
    local: str

    @property
    def folder(self) -> str:
        """Its name for people."""
        return self.url

    def path(self, name: str) -> str:
        """The URL of a CAR in it."""
        return f"{self.url}/{name}"

    def require_writable(self) -> None:
        """See that an object can be written.

        Raises:
            SettingsError: it can't.
        """
        import obstore

        store = open_writer(urls.parse(self.url), self.profile)
        key = self._key(_PROBE)

        def probe() -> None:
            try:
                obstore.put(store, key, b"Ptolemy stages CARs here.\n")
            except Exception as error:
                raise of_exception(error) from None

        try:
            retried(probe, 5.0)
        except StoreError as error:
            raise SettingsError(
                f"staging_dir {self.url!r} can't be written ({error}): check the name, the endpoint and the "
                "credentials (docs/sources.md)"
            ) from None

    def look(self, name: str) -> StagedFile | None:
        """The status of a CAR; None if it isn't there.

        Raises:
            StagingError: the store doesn't say.
        """
        try:
            found = self.source().find(entry_path(name))
        except SourceError as error:
            raise unreachable(error) from error
        return None if found is None else _staged(found)

    def has(self, name: str, size: int) -> bool:
        """Whether a CAR of that name and size is there."""
        found = self.look(name)
        return found is not None and found.is_whole(size)

    def sizes(self) -> dict[str, int]:
        """Sizes of all objects directly below the prefix, by name.

        Raises:
            StagingError: it can't be listed.
        """
        found: dict[str, int] = {}
        try:
            for batch in self.source().entries():
                for entry in batch:
                    if entry.kind == Kind.FILE and SEPARATOR not in entry.path:
                        found[os.fsdecode(entry.path)] = entry.size
        except SourceError as error:
            raise unreachable(error) from error
        return found

    def outlines(self, project: str) -> dict[str, int]:
        """Sizes of a project's outlines, by name.

        Raises:
            StagingError: they can't be listed.
        """
        return self.below(f"{OUTLINES}/{project}").sizes()

    def below(self, prefix: str) -> "StoreArea":
        """What is below a prefix of it."""
        return replace(self, url=f"{self.url}/{prefix}")

    def outline_scratch(self, project: str) -> str:
        """The folder of this machine where a project's outlines are written until they are complete."""
        return outline_folder(self.local, project)

    def publish_outline(self, project: str, output: OutlineOutput, car_name: str) -> None:
        """Put a complete outline under the name of its CAR's.

        Raises:
            BusyError: another process put another one there meanwhile, or took over on this machine.
            StagingError: it can't be written.
        """
        send_outline(self, f"{OUTLINES}/{project}/{outline_name(car_name)}", output)

    def open_outline(self, name: str) -> Outline | None:
        """An outline by its path in the area; None if it isn't there.

        Raises:
            OutlineError: it is damaged, or can't be read.
            StagingError: the store doesn't say.
        """
        path, source = entry_path(name), self.source()
        try:
            found = source.find(path)
        except SourceError as error:
            raise unreachable(error) from error
        return None if found is None else Outline(OutlineObject(source, path, found, outline_cache()))

    def outlines_renamed(
        self, old: str, new: str, also: Sequence[Superseded] = ()
    ) -> AbstractContextManager[None]:
        """Copy the outlines of a project while the block renames it; see `outline_prefixes`."""
        return outline_prefixes.outlines_renamed(self, old, new, also)

    def finish_renames(self, project: str, exists: Callable[[str], bool]) -> None:
        """Delete what killed renames left; see `outline_prefixes`."""
        outline_prefixes.finish_renames(self, project, exists)

    @property
    def incomplete(self) -> StagingArea:
        """Where outlines and files of CARs are that aren't complete."""
        return StagingArea(self.local)

    def drop_uploads(self) -> None:
        """Delete unfinished uploads of CARs that began long ago: no process continues them.

        The next attempt at the same CAR would do it too, but there may be none. What can't be listed stays.
        """
        pending = unfinished_uploads(urls.parse(self.url), self.profile)
        with suppress(StoreError):
            for key, began in pending.since(self._key("")).items():
                if _CAR.fullmatch(key.removeprefix(self._key(""))) and time.time() - began > _GIVEN_UP:
                    pending.give_up(key)

    def free_space(self, part: str) -> Space:
        """More than any CAR needs."""
        return Space(_PLENTY, 0)

    @contextmanager
    def attempt(self, part: str, size: int) -> Iterator["StoredOutput"]:
        """A local file of `size` bytes, which is sent when it is published."""
        os.makedirs(self.local, exist_ok=True)
        with StagingArea(self.local).attempt(part, size) as file:
            yield StoredOutput(self, file, size)

    def put(self, name: str, parts: Iterator[bytes], size: int) -> None:
        """Send a CAR, in order; it appears when all of it is there.

        Args:
            name: of the CAR.
            parts: its bytes.
            size: how many they are.

        Raises:
            StagingError: it can't be written.
            whatever `parts` raises: then nothing appears.
        """
        import obstore

        location, key = urls.parse(self.url), self._key(name)
        store = open_writer(location, self.profile)
        pending = unfinished_uploads(location, self.profile)
        made = prefetch(parts, 1)  # in a thread of its own: a source may use the client that sends
        source = _Remembering(made)
        try:
            pending.give_up(key)
            obstore.put(store, key, source, use_multipart=True, chunk_size=_PART, max_concurrency=_AT_ONCE)
        except StoreError as error:
            raise self._unwritable(name, error) from None
        except BaseException as error:
            with suppress(StoreError):  # the next attempt does it
                pending.give_up(key)
            if source.error is not None:
                raise source.error from None
            if not isinstance(error, Exception):
                raise
            raise self._unwritable(name, of_exception(error)) from None
        finally:
            with suppress(ValueError):  # the client may still be taking a part
                made.close()
        if not self.has(name, size):
            raise StagingError(f"{self.path(name)} is incomplete after it was sent: blitz again")

    def piece_cid(
        self, name: str, progress: Callable[[int], None] | None = None
    ) -> tuple[bytes, StagedFile] | None:
        """The piece CID v2 of a CAR's bytes, and its status; None if it changed meanwhile.

        Raises:
            StagingError: it can't be read.
        """
        piece = commp.PieceCommitment()
        with StoreCar(self, name) as car:
            if car.size > commp.MAX_PAYLOAD:
                return None
            for at in range(0, car.size, _READ):
                data = car.read(at, min(_READ, car.size - at))
                piece.update(data)
                if progress:
                    progress(len(data))
            return commp.piece_cid_v2(piece.digest(), car.size), _staged(car.stamp)

    def remove(self, name: str) -> None:
        """Delete a CAR.

        Raises:
            StagingError: it can't be deleted.
        """
        import obstore

        store = open_writer(urls.parse(self.url), self.profile)
        try:
            obstore.delete(store, self._key(name))
        except FileNotFoundError:
            raise
        except Exception as error:
            raise StagingError(
                f"{self.path(name)} can't be deleted ({of_exception(error)}): see that the credentials allow it"
            ) from None

    def sync(self) -> None:
        """Nothing: what a store says is done is done."""

    def is_same_as(self, other: object) -> bool:
        """Whether both are the same prefix."""
        return isinstance(other, StoreArea) and self.url == other.url

    def objects(self) -> WholeObjects:
        """Its small objects."""
        return WholeObjects(self.url, self.profile)

    def _key(self, name: str) -> str:
        return urls.parse(self.url).prefix + name

    def source(self) -> ObjectSource:
        """What it is read by."""
        return open_remote(urls.parse(self.url), self.profile)

    def _unwritable(self, name: str, error: StoreError) -> StagingError:
        return StagingError(
            f"{self.path(name)} can't be written ({error}): nothing of it is there; check the store and the "
            "credentials, then run blitz again"
        )


class StoredOutput:
    """An `Output` to a local file that is sent to a store under its name."""

    def __init__(self, area: StoreArea, file: Output, size: int) -> None:
        self._area = area
        self._file = file
        self._size = size

    def write(self, data: memoryview, offset: int) -> None:
        self._file.write(data, offset)

    def sync(self) -> None:
        self._file.sync()

    def read(self, buffer: Any, offset: int, size: int) -> memoryview:
        return self._file.read(buffer, offset, size)

    def publish(self, name: str) -> None:
        """Send it, unless it is there."""
        if not self._area.has(name, self._size):
            self._area.put(name, read_in_order(self._file, self._size), self._size)


def read_in_order(file: Any, size: int) -> Iterator[bytes]:
    """All bytes of an output, from its start to its end."""
    from ptolemy_core.source.buffers import new_buffer

    buffer = new_buffer(_READ)
    for at in range(0, size, _READ):
        yield bytes(file.read(buffer, at, min(_READ, size - at)))


class _Remembering:
    """An iterator that keeps what it raised: a client may pass on another error."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self.error: BaseException | None = None

    def __iter__(self) -> "_Remembering":
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._parts)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _staged(stamp: Stamp) -> StagedFile:
    return StagedFile(stamp.size, stamp.token, 0, regular=True)
