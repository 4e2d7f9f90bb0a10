"""A folder on an SSH server as a source, over SFTP.

Who logs in, with which key and to which hosts, is what `~/.ssh/config`, the agent and `~/.ssh/known_hosts` say. A
stamp is size and modification time in whole seconds, so it is weak; each read also compares both before and after.
"""

import asyncio
import stat
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from ptolemy_core.source.listing import Object
from ptolemy_core.source.store_client import Head
from ptolemy_core.source.store_errors import ChangedError, GoneError, StoreError, retried
from ptolemy_core.source.tokens import SECOND
from ptolemy_core.source.walk import SPECIAL
from ptolemy_core.urls import Location

_CHUNK = 1 << 20
_THREADS = 8
_TIMEOUT = 60.0
"""Seconds without an answer after which a connection counts as broken."""

_T = TypeVar("_T")


class Sftp:
    """One connection, replaced when it breaks. Thread-safe; see `store_client.Client` and `store_client.Keys`."""

    def __init__(self, location: Location) -> None:
        """The server of a location; nothing is asked of it yet."""
        user, _, host = location.place.rpartition("@")
        name, _, port = host.partition(":")
        self._where: dict[str, Any] = {"host": name}
        if port:
            self._where["port"] = int(port)
        if user:
            self._where["username"] = user
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._session: Any = None
        self._connecting: asyncio.Lock | None = None

    def head(self, key: str) -> Head:
        """Size and time of a file."""
        return self._run(self._head(key))

    def get(self, key: str, start: int, end: int, etag: str | None = None) -> "SftpAnswer":
        """A range of a file; there are no ETags."""
        head = self.head(key)
        return SftpAnswer(self, key, head, start, min(end, head.size))

    def whole(self, key: str) -> tuple[Head, memoryview]:
        """A small file."""
        head = self.head(key)
        return head, memoryview(self.bytes_of(key, 0, head.size, head))

    def bytes_of(self, key: str, start: int, end: int, head: Head) -> bytes:
        """Bytes of a file that is as `head` says, before and after."""
        return self._run(self._bytes(key, start, end, head))

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        """All entries below a folder, many folders at a time."""
        folders = [(prefix, 0)]
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="folders") as pool:
            while folders:
                some, folders = folders[: 8 * _THREADS], folders[8 * _THREADS :]
                for found, below in pool.map(lambda one: self._folder(*one), some):
                    folders += below
                    yield found

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        """Whether a folder has an entry."""
        found, below = self._folder(prefix, 0, seconds)
        return bool(found or below)

    def has_folder(self, key: str) -> bool:
        """Whether there is a folder."""
        return retried(lambda: self._run(self._is_folder(key)))

    async def _is_folder(self, key: str) -> bool:
        attributes = await (await self._connected()).lstat(_path(key))
        return stat.S_ISDIR(attributes.permissions or 0)

    def _folder(
        self, prefix: str, time: int, seconds: float | None = None
    ) -> tuple[list[Object], list[tuple[str, int]]]:
        """The entries of a folder, its own if it is empty, and its folders with their times; `time`: 0 at the top."""
        names = retried(lambda: self._run(self._names(prefix)), seconds)
        found: list[Object] = []
        below: list[tuple[str, int]] = []
        for name, attributes in names:
            key, mode = prefix + name, attributes.permissions or 0
            size, token = attributes.size or 0, (attributes.mtime or 0) * SECOND
            if stat.S_ISDIR(mode):
                below.append((key + "/", token))
            elif stat.S_ISREG(mode):
                found.append(Object(key, size, token))
            elif stat.S_ISLNK(mode):
                found.append(Object(key, 0, token, "a link, which sftp:// sources don't keep"))
            else:
                found.append(Object(key, 0, token, SPECIAL[-1]))
        if not names and time:
            found.append(Object(prefix, 0, time))
        return found, below

    async def _names(self, prefix: str) -> list[tuple[str, Any]]:
        session = await self._connected()
        out = []
        async for one in session.scandir(_path(prefix)):
            if one.filename not in (b".", b".."):
                out.append((one.filename.decode("utf-8", "surrogateescape"), one.attrs))
        return out

    async def _head(self, key: str) -> Head:
        return _head_of(await (await self._connected()).lstat(_path(key)))

    async def _bytes(self, key: str, start: int, end: int, head: Head) -> bytes:
        session = await self._connected()
        async with session.open(_path(key), "rb") as file:
            before = _head_of(await file.stat())
            data: bytes = await file.read(end - start, start) if end > start else b""
            after = _head_of(await file.stat())
        if before != head or after != head:
            raise ChangedError("it changed")
        return data

    async def _connected(self) -> Any:
        """The session; a new one if the last one broke."""
        import asyncssh

        if self._connecting is None:
            self._connecting = asyncio.Lock()
        async with self._connecting:
            if self._session is None:
                connection = await asyncssh.connect(**self._where, login_timeout=30, keepalive_interval=15)
                self._session = await connection.start_sftp_client(path_encoding=None)
        return self._session

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True).start()
        try:
            return asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, _TIMEOUT), self._loop).result()
        except StoreError:
            raise
        except Exception as error:
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> StoreError:
        import asyncssh

        if isinstance(error, (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath)):
            return GoneError("no such file", status=404)
        if isinstance(error, asyncssh.SFTPPermissionDenied):
            return StoreError("no permission to read it", status=403)
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return StoreError("its host key isn't in ~/.ssh/known_hosts")
        if isinstance(error, asyncssh.PermissionDenied):
            return StoreError(
                "its server doesn't let this user in: check ~/.ssh/config and the keys", status=401
            )
        if isinstance(error, asyncssh.SFTPError) and not isinstance(
            error, (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)
        ):
            return StoreError(f"SFTP error {error.code}", temporary=True)
        self._session = None  # the next try connects again
        return StoreError("the connection failed", temporary=True)


@dataclass(frozen=True, slots=True)
class SftpAnswer:
    """A range that is being read; see `store_client.Answer`."""

    source: Sftp
    key: str
    head: Head
    start: int
    end: int

    def parts(self) -> Iterator[memoryview]:
        """The bytes, a part at a time."""
        at = self.start
        while at < self.end:
            data = self.source.bytes_of(self.key, at, min(at + _CHUNK, self.end), self.head)
            if not data:
                return
            at += len(data)
            yield memoryview(data)


def _path(key: str) -> bytes:
    return b"/" + key.rstrip("/").encode("utf-8", "surrogateescape")


def _head_of(attributes: Any) -> Head:
    if not stat.S_ISREG(attributes.permissions or 0):
        raise ChangedError("it is no longer a regular file")
    return Head(attributes.size or 0, (attributes.mtime or 0) * SECOND)
