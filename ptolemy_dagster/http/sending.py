"""Large bodies, from threads that read to the connection that sends: no read on the event loop, no needless copy.

While one part of a body is being sent the next one is read. A connection of ours (`connections.LimitedHttp`) takes
memory as it is, and sends files by sendfile; under any other ASGI server the same bytes go the usual way.
"""

import asyncio
import mmap
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.types import Scope, Send

from ptolemy_core.gateway.body import Body
from ptolemy_dagster.http.connections import CONNECTION, LimitedHttp

THREADS = 16
"""That read for all requests: reading, hashing and waiting for disks."""

_IN_FLIGHT = 192 << 20
"""Bytes of bodies that are read and not yet sent, about: parts are smaller where many are sent."""

_SMALLEST, _LARGEST = 256 << 10, 16 << 20
"""Bytes of a part: 16 leaves are hashed at once."""

_SPARE = 32 << 20
"""Bytes of buffers that are kept for the next bodies: new memory costs as much as copying it."""

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
        self._active = 0
        self._held = 0
        self._spare: dict[int, list[mmap.mmap]] = {}

    @property
    def active(self) -> int:
        """Bodies that are being sent."""
        return self._active

    async def run(self, call: Any, *arguments: Any) -> Any:
        """Call in a thread of those that read."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pieces")
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)

    def part_size(self) -> int:
        """Bytes of the next part of a body: a power of two."""
        share = _IN_FLIGHT // (2 * max(1, self._active))
        return _power_of_two(max(_SMALLEST, min(_LARGEST, share, _IN_FLIGHT - self._held)))

    def _buffer(self) -> mmap.mmap:
        """Memory for a part; mapped, so that the system gets it back."""
        size = self.part_size()
        spare = self._spare.get(size)
        self._held += size
        return spare.pop() if spare else mmap.mmap(-1, size)

    def _give_back(self, buffer: mmap.mmap) -> None:
        size = len(buffer)
        self._held -= size
        if sum(each * len(kept) for each, kept in self._spare.items()) + size <= _SPARE:
            self._spare.setdefault(size, []).append(buffer)

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
        self._active += 1
        try:
            if not first and way.can_send_files:
                first = await self._send_files(body, way)
            await self._send_parts(body, first, way)
        finally:
            self._active -= 1

    async def _send_files(self, body: Body, way: "Way") -> bytes | memoryview:
        """Send what comes from files, up to the first part that doesn't; that part."""
        while True:
            found = await self.run(body.file_range)
            if found is None:
                return bytes(await self.run(body.read, _SMALLEST))
            descriptor, offset, length = found
            count = self.bandwidth.part(min(length, _FILE_PART))
            await self.bandwidth.take(count)
            body.skip(await way.send_file(self, descriptor, offset, count))

    async def _send_parts(self, body: Body, data: bytes | memoryview, way: "Way") -> None:
        """Send all parts; while one is sent the next is read, into another buffer."""
        buffers: list[mmap.mmap] = []  # of the part that is sent, and the one that is read
        try:
            if not data:
                buffers.append(self._buffer())
                data = await self.run(body.read_into, memoryview(buffers[-1]))
            while data:
                buffers.append(self._buffer())
                following = asyncio.ensure_future(self.run(body.read_into, memoryview(buffers[-1])))
                try:
                    await self._send_part(memoryview(data), way)
                except BaseException:
                    # the thread must be done with the body before the body is closed
                    await asyncio.wait([following])
                    following.exception()
                    raise
                data = await following
                while len(buffers) > 1:
                    self._give_back(buffers.pop(0))
        finally:
            for buffer in buffers:
                self._give_back(buffer)

    async def _send_part(self, view: memoryview, way: "Way") -> None:
        """Send a part, until the system has all of it."""
        while view:
            count = self.bandwidth.part(len(view))
            await self.bandwidth.take(count)
            await way.send(view[:count])
            view = view[count:]
        await way.flush()


def _power_of_two(most: int) -> int:
    return 1 << (most.bit_length() - 1)


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

    async def break_off(self) -> None:
        """End the connection, so that nobody takes what was sent for a whole body."""
        if self._connection is None:
            raise ConnectionAbortedError("the body can't be completed")
        self._connection.end()
        await asyncio.sleep(0)
