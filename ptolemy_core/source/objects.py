"""A prefix of an object store as a source.

A stamp's token stands for the object's ETag (`tokens`). Each answer to a read names the ETag of the bytes that it
brings, and is refused where that is another one; so no read can mix two versions, and there are no states.
"""

import hashlib
import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.errors import SettingsError, SourceUnreadableError
from ptolemy_core.kernel import Buffer
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source import refusals
from ptolemy_core.source.filesystem import FileSystem, Mounts
from ptolemy_core.source.key_tree import belonging, entry_of, settled
from ptolemy_core.source.listing import Object
from ptolemy_core.source.protocol import BATCH, Entry, FolderSeen
from ptolemy_core.source.sorted_runs import RUN, SortedRuns
from ptolemy_core.source.stamps import Stamp, Stamps
from ptolemy_core.source.store_client import Client, Head, Keys, OddKeyError
from ptolemy_core.source.store_errors import (
    ChangedError,
    GoneError,
    Retry,
    StoreError,
    patience,
    retried,
)
from ptolemy_core.source.tokens import same
from ptolemy_core.tree import SEPARATOR, Kind, paths
from ptolemy_core.urls import Location

IN_FLIGHT = 32
"""Small objects that are asked for at once."""

_ETAGS = 256
"""ETags that are remembered."""

_LOOKING = 5.0
"""Seconds that a store may be away while a project is defined: then somebody waits."""


class ObjectSource:
    """The objects below a prefix; thread-safe, see `protocol.Source`."""

    def __init__(self, location: Location, keys: Keys, client: Client, endpoint: str) -> None:
        """Objects of a location, at an endpoint."""
        self.location = location
        self._keys = keys
        self._client = client
        self._endpoint = endpoint
        self._etags = _Etags()
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def name(self, path: bytes) -> str:
        """The object's URL, for people."""
        return f"{self.location}/{paths.display(path)}"

    def top(self) -> Entry:
        """A folder: a URL is a prefix."""
        return Entry(b"", int(Kind.DIRECTORY), 0, 0)

    def mounts(self) -> Mounts:
        """The store, as what the data is on."""
        return Mounts(
            FileSystem(self.location.scheme, source=f"{self._endpoint}/{self.location.place}"), 0, 0, {}
        )

    def is_empty(self) -> bool:
        """Whether there is no object.

        Raises:
            SourceError: the store doesn't say.
        """
        with self._listing():
            return not self._keys.any(self.location.prefix)

    def require_usable(self) -> None:
        """See that the store lists what is below the prefix.

        Raises:
            SettingsError: it doesn't.
        """
        try:
            self._keys.any(self.location.prefix, _LOOKING)
        except StoreError as error:
            raise SettingsError(
                f"target_dir {str(self.location)!r} can't be listed ({error}): check the name, the endpoint and the "
                "credentials (docs/sources.md)"
            ) from None

    def entries(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = BATCH
    ) -> Iterator[list[Entry]]:
        """All entries, sorted by path; folders aren't told of, stores have none.

        Raises:
            SourceError: the listing failed.
        """
        with self._runs() as runs:
            found = settled(belonging(runs, rules))
            while batch := list(itertools.islice(found, size)):
                yield batch

    def digest(self, most: int, seconds: float) -> str | None:
        """A digest of all keys, sizes and tokens; None if there are more than `most`, or it takes too long.

        Raises:
            SourceError: the listing failed.
        """
        with self._listing():
            self._keys.any(self.location.prefix, seconds)  # a store that is away isn't waited for
            deadline = time.monotonic() + seconds
            count = total = 0
            for page in self._keys.objects(self.location.prefix):
                count += len(page)
                if count > most or time.monotonic() > deadline:
                    return None
                for one in page:  # a sum, as pages come in any order
                    text = f"{one.size} {one.token} {one.key}".encode("utf-8", "surrogateescape")
                    total += int.from_bytes(hashlib.sha256(text).digest(), "big")
        return f"{count} {total % (1 << 256):x}"

    def _runs(self) -> SortedRuns:
        """All entries, from the lister that takes all keys there are."""
        with self._listing():
            try:
                return self._run_of(self._keys)
            except OddKeyError as error:
                return self._run_of(error.keys)

    def _run_of(self, keys: Keys) -> SortedRuns:
        prefix = self.location.prefix
        with ExitStack() as stack:
            runs = stack.enter_context(SortedRuns(RUN))
            for page in keys.objects(prefix):
                runs.add([_entry(one, len(prefix)) for one in page if len(one.key) > len(prefix)])
            stack.pop_all()
        return runs

    @contextmanager
    def _listing(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            raise SourceUnreadableError(
                f"{self.location} can't be listed ({error}): check the name, the endpoint and the credentials"
            ) from None

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> None:
        """Fill the buffers with one ranged read; if it is interrupted, another one continues from there.

        Raises:
            SourceError: it can't be read, or changed.
        """
        rest = [buffer for buffer in buffers if len(buffer)]
        if not rest:
            self.check(path, Kind.FILE, stamp)
            return
        end = offset + sum(map(len, rest))
        filler = _Filler(rest)
        retry = Retry(patience())
        with self._reading(path):
            while offset < end:
                try:
                    answer = self._client.get(self._key(path), offset, end, self._etags.of(path, stamp))
                    self._compare(path, answer.head, stamp)
                    self._etags.keep(path, stamp, answer.head.etag)
                    for part in answer.parts():
                        offset += filler.put(part)
                        retry.succeeded()
                    if offset < end:
                        raise StoreError("its answer is cut off", temporary=True)
                except StoreError as error:
                    retry.wait_after(error)

    def read_many(
        self, names: Sequence[bytes], buffer: Buffer, offsets: NDArray[np.int64], stamps: Stamps
    ) -> tuple[NDArray[np.bool_], None]:
        """Read whole small objects, many at once; which of them came and are unchanged."""
        view = memoryview(buffer)
        good = np.zeros(len(names), dtype=np.bool_)
        places, sizes, tokens = offsets.tolist(), stamps.sizes.tolist(), stamps.tokens.tolist()
        rest = iter(range(len(names)))

        def work() -> None:
            for k in rest:
                try:
                    head, data = self._client.whole(self._key(names[k]))
                except StoreError:
                    continue  # `read` tries again, and says what is wrong
                if head.size == len(data) == sizes[k] and same(tokens[k], head.token):
                    view[places[k] : places[k] + sizes[k]] = data
                    good[k] = True

        for future in [self._threads().submit(work) for _ in range(min(IN_FLIGHT, len(names)))]:
            future.result()
        return good, None

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        """Check that an object still has its stamp, or that an empty folder's key is still there.

        Raises:
            SourceError: it isn't so.
        """
        with self._reading(path):
            if kind == Kind.DIRECTORY:
                if not self._keys.has_folder(self._key(path)):
                    raise GoneError("no such object")
                return
            self._compare(path, retried(lambda: self._client.head(self._key(path))), stamp)

    def link(self, path: bytes) -> bytes:
        """Nothing: stores have no links.

        Raises:
            SourceError: always.
        """
        raise refusals.changed(self.name(path), "it is no longer a link")

    @contextmanager
    def opened(self, path: bytes) -> Iterator["OpenObject"]:
        """An object as it is now, whatever the scan saw.

        Raises:
            SourceError: it can't be read.
        """
        with self._reading(path):
            head = retried(lambda: self._client.head(self._key(path)))
        stamp = Stamp(head.size, head.token)
        self._etags.keep(path, stamp, head.etag)
        yield OpenObject(self, path, stamp)

    def find(self, path: bytes) -> Stamp | None:
        """The stamp of an object as it is now; None if there is none.

        Raises:
            SourceError: the store doesn't say.
        """
        with self._reading(path):
            try:
                head = retried(lambda: self._client.head(self._key(path)))
            except GoneError:
                return None
        stamp = Stamp(head.size, head.token)
        self._etags.keep(path, stamp, head.etag)
        return stamp

    def _threads(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="objects")
            return self._pool

    def _key(self, path: bytes) -> str:
        return self.location.prefix + path.replace(SEPARATOR, b"/").decode("utf-8", "surrogateescape")

    def _compare(self, path: bytes, head: Head, stamp: Stamp) -> None:
        if head.size != stamp.size:
            raise refusals.changed(self.name(path), f"its size was {stamp.size} bytes, now {head.size}")
        if not same(stamp.token, head.token):
            raise refusals.changed(self.name(path), "it was overwritten")

    @contextmanager
    def _reading(self, path: bytes) -> Iterator[None]:
        """Errors of the store as those of an entry."""
        try:
            yield
        except GoneError as error:
            raise refusals.missing(self.name(path), str(error)) from None
        except ChangedError:
            raise refusals.changed(self.name(path), "it was overwritten") from None
        except StoreError as error:
            raise refusals.unreadable(self.name(path), str(error)) from None


def _entry(found: Object, skipped: int) -> Entry:
    """The entry of an object; so many characters of its key are the source's prefix."""
    key = found.key[skipped:].encode("utf-8", "surrogateescape")
    return entry_of(key, found.size, found.token, found.reason)


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object that is compared with a CAR; see `protocol.OpenFile`."""

    source: ObjectSource
    path: bytes
    stamp: Stamp
    ctime: int | None = None

    def read_at(self, view: memoryview, offset: int) -> int:
        """Fill `view` from `offset`; the bytes that there were.

        Raises:
            SourceError: it can't be read, or is another one by now.
        """
        wanted = max(0, min(len(view), self.stamp.size - offset))
        if wanted:
            self.source.read(self.path, offset, [view[:wanted]], self.stamp)
        return wanted


class _Etags:
    """The strong ETags of the objects read last: a stamp holds a digest of one, and a store wants it whole."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def of(self, path: bytes, stamp: Stamp) -> str | None:
        """The ETag that belongs to a stamp, if an answer named it before."""
        found = self._known.get(path)
        return found[1] if found is not None and found[0] == stamp else None

    def keep(self, path: bytes, stamp: Stamp, etag: str | None) -> None:
        """Remember one; the oldest is forgotten."""
        if etag is None:
            return
        with self._lock:
            self._known.pop(path, None)
            self._known[path] = (stamp, etag)
            if len(self._known) > _ETAGS:
                del self._known[next(iter(self._known))]


class _Filler:
    """Puts parts of a stream into buffers, one after the other."""

    def __init__(self, buffers: Sequence[memoryview]) -> None:
        self._buffers = iter(buffers)
        self._current = next(self._buffers)

    def put(self, part: memoryview) -> int:
        """Take a part; returns its length, or what of it there was room for."""
        done = 0
        while done < len(part):
            if not len(self._current):
                following = next(self._buffers, None)
                if following is None:
                    break
                self._current = following
            step = min(len(self._current), len(part) - done)
            self._current[:step] = part[done : done + step]
            self._current = self._current[step:]
            done += step
        return done
