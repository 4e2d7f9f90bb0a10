"""Large bodies, from threads that read to the connection that sends: no read on the event loop, no needless copy.

While one part of a body is being sent the next one is read. A connection of ours (`connections.LimitedHttp`) takes
memory as it is, and sends files by sendfile; under any other ASGI server the same bytes go the usual way.
"""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.types import Scope, Send

from ptolemy_core.gateway.body import Body
from ptolemy_core.gateway.parts import SIZES, Parts, SharedPart
from ptolemy_dagster.http.connections import CONNECTION, LimitedHttp

THREADS = 16
"""That read for all requests: reading, hashing and waiting for disks."""

_WAIT = 0.25
"""Seconds that a body waits for memory for a large part, before it makes do with the smallest."""

_SLOW, _FAST = 1.0, 0.5
"""Seconds in which a client takes a part: after a longer one parts are smaller, after a shorter one larger."""

_FILE_PART = 8 << 20
"""Bytes that one call of sendfile may send."""


class ClientGoneError(Exception):
    """The client closed the connection, or didn't read for too long."""


class Bandwidth:
    """A limit of bytes a second for all bodies together; a tenth of a second's worth may be sent at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at = 0.0

    def part(self, size: int) -> int:
        """Bytes to send in one go, at most `size`."""
        return size if not self._rate else max(16 << 10, min(size, int(self._rate / 10)))

    async def take(self, size: int) -> None:
        """Wait until so many bytes may be sent."""
        if not self._rate:
            return
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + size / self._rate
        wait = self._free_at - now - 0.1
        if wait > 0:
            await asyncio.sleep(wait)


class Pump:
    """Sends bodies. One for a server.

    Args:
        rate: bytes a second of all bodies together; 0: no limit.
        threads: that read.
    """

    def __init__(self, rate: float = 0, threads: int = THREADS) -> None:
        self.bandwidth = Bandwidth(rate)
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._parts = Parts()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def active(self) -> int:
        """Bodies that are being sent."""
        return self._parts.bodies

    async def run(self, call: Any, *arguments: Any) -> Any:
        """Call in a thread of those that read."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pieces")
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def send(self, body: Body, first: bytes | memoryview, way: "Way") -> None:
        """Send a body to its end.

        Args:
            body: what is left to be read of it.
            first: its first part, read already; empty where that is still to be done.
            way: to the client.

        Raises:
            ClientGoneError: nobody takes it any more.
            PtolemyError, OSError: it can't be read any further.
        """
        self._parts.bodies += 1
        try:
            if not first and way.can_send_files:
                first = await self._send_files(body, way)
            await self._send_parts(body, first, way)
        finally:
            self._parts.bodies -= 1

    async def _send_files(self, body: Body, way: "Way") -> bytes | memoryview:
        """Send what comes from files, up to the first part that doesn't; that part."""
        while True:
            found = await self.run(body.file_range)
            if found is None:
                return bytes(await self.run(body.read, SIZES[0]))
            descriptor, offset, length = found
            count = self.bandwidth.part(min(length, _FILE_PART))
            await self.bandwidth.take(count)
            body.skip(await way.send_file(self, descriptor, offset, count))

    async def _send_parts(self, body: Body, first: bytes | memoryview, way: "Way") -> None:
        """Send all parts; while one is sent the next are read."""
        if first:
            await self._send_part(memoryview(first), way)
            if body.at_end:
                return
        ahead = _Ahead(self, body)
        try:
            while (part := await ahead.next()) is not None:
                began = time.monotonic()
                try:
                    await self._send_part(memoryview(part.data), way)
                finally:
                    self.release(part)
                ahead.note(time.monotonic() - began)
        finally:
            await ahead.close()

    async def read(self, body: Body, size: int) -> SharedPart | None:
        """Read the next part of a body, of this size or less; None at the end."""
        if not self._parts.reserve(size):
            size = await self._room(size)
        try:
            part: SharedPart | None = await self.run(body.next_part, self._parts, size)
            return part
        finally:
            self._wake()

    def release(self, part: SharedPart) -> None:
        """A part was sent, or won't be."""
        self._parts.release(part)
        self._wake()

    async def _room(self, size: int) -> int:
        """Wait for memory; the bytes that are reserved then."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(_WAIT):
                while not self._parts.reserve(size):
                    await turn
                    turn = asyncio.get_running_loop().create_future()
                    self._waiting.appendleft(turn)
            self._wake()  # there may be enough for another one
            return size
        except TimeoutError:
            self._parts.reserve(SIZES[0], anyway=True)
            return SIZES[0]
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def _wake(self) -> None:
        """Let the body that has waited longest for memory see whether there is enough."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _send_part(self, view: memoryview, way: "Way") -> None:
        """Send a part, until the system has all of it; the connection ends if that isn't to be."""
        try:
            while view:
                count = self.bandwidth.part(len(view))
                await self.bandwidth.take(count)
                await way.send(view[:count])
                view = view[count:]
            await way.flush()
        except BaseException:
            way.drop()  # it may still hold the part's memory, which is used again from here on
            raise


class _Ahead:
    """Reads the parts of a body, one after the other, before they are asked for."""

    def __init__(self, pump: Pump, body: Body) -> None:
        self._pump = pump
        self._body = body
        self._size = 2  # of SIZES
        self._read: deque[SharedPart] = deque()
        self._closed = False
        self._change = asyncio.Event()
        self._reading = asyncio.ensure_future(self._read_all())
        self._reading.add_done_callback(lambda _: self._change.set())

    async def next(self) -> SharedPart | None:
        """The next part; None at the end. Raises what reading it does."""
        while not self._read:
            if self._reading.done():
                await self._reading
                return None
            await self._changed()
        self._change.set()
        return self._read.popleft()

    def note(self, seconds: float) -> None:
        """Say how long the last part took to be sent."""
        if seconds > _SLOW:
            self._size = max(0, self._size - 1)
        elif seconds < _FAST:
            self._size = min(self._size + 1, len(SIZES) - 1)

    async def close(self) -> None:
        """Wait for what is being read: no thread uses the body then."""
        self._closed = True
        self._change.set()
        await asyncio.wait([self._reading])
        self._reading.exception()
        while self._read:
            self._pump.release(self._read.popleft())

    async def _read_all(self) -> None:
        while not self._closed:
            if self._read:  # while one is sent another one waits, which is enough
                await self._changed()
                continue
            part = await self._pump.read(self._body, SIZES[self._size])
            if part is None:
                return
            self._read.append(part)
            self._change.set()

    async def _changed(self) -> None:
        self._change.clear()
        await self._change.wait()


class Way:
    """The way of one body to its client.

    Attributes:
        sent: bytes so far.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        found = (scope.get("extensions") or {}).get(CONNECTION)
        self._connection: LimitedHttp | None = found
        self._send = send
        self.sent = 0

    @property
    def can_send_files(self) -> bool:
        """Whether files can be sent without being read."""
        return self._connection is not None and self._connection.can_send_files

    async def send(self, data: memoryview) -> None:
        """Send a part; returns when the next one may come."""
        if self._connection is not None:
            if not await self._connection.send_data(data):
                raise ClientGoneError
        else:
            await self._send({"type": "http.response.body", "body": bytes(data), "more_body": True})
        self.sent += len(data)

    async def flush(self) -> None:
        """Wait until all that was sent is with the system: its memory may be used again."""
        if self._connection is not None and not await self._connection.all_written():
            raise ClientGoneError

    async def send_file(self, pump: Pump, descriptor: int, offset: int, count: int) -> int:
        """Send a part of a file; how many bytes that were.

        Raises:
            OSError: the file can't be read, or ends there.
        """
        assert self._connection is not None
        done = await self._connection.send_file(pump.run, descriptor, offset, count)
        if not done:
            raise ClientGoneError
        self.sent += done
        return done

    async def end(self) -> None:
        """The body is complete."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def drop(self) -> None:
        """End the connection, and forget what was given to it and isn't with the system yet."""
        if self._connection is not None:
            self._connection.end()

    async def break_off(self) -> None:
        """End the connection, so that nobody takes what was sent for a whole body."""
        if self._connection is None:
            raise ConnectionAbortedError("the body can't be completed")
        self.drop()
        await asyncio.sleep(0)
