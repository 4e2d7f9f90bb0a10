"""How much one client may hold: connections, the size and time of a request's head, the time of its body.

uvicorn on h11 bounds the head's size; on httptools it doesn't, nor does either bound the time until a head is
complete or how many connections there are. Measured with 1,024 descriptors: see docs/security.md. Hypercorn bounds
size and time but not the number of connections, granian neither their number nor a body's time.
"""

import asyncio
import errno
import os
import socket
import time
from functools import partial
from typing import Any, Protocol

import h11
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from ptolemy_dagster.http import problems
from ptolemy_dagster.http.admission import BACKLOG, ConnectionLimits, Connections, network
from ptolemy_dagster.http.heads import not_http, refused_head
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.http.websockets import CountedWebSocket

_LINGER = 2.0
"""Seconds for a body that nobody wants to come to its end, so that its sender gets to read the answer."""

CONNECTION = "ptolemy.connection"
"""The extension of an ASGI scope that holds the `LimitedHttp` of a request."""

_PART = 256 << 10
"""Bytes that are handed to a transport at once: what the system doesn't take is copied."""

_BUSY = Problem(
    503, "busy", "too many connections: try again in seconds", {"Retry-After": "5", "Connection": "close"}
)


def configured(app: ASGIApp, limits: ConnectionLimits, **more: Any) -> uvicorn.Config:
    """A uvicorn that keeps these limits."""
    open_ones = Connections(limits)
    http: Any = partial(LimitedHttp, open_ones)
    websocket: Any = partial(CountedWebSocket, open_ones)
    return uvicorn.Config(
        app,
        http=http,
        ws=websocket,
        h11_max_incomplete_event_size=limits.head_bytes,
        timeout_keep_alive=limits.idle_seconds,
        backlog=BACKLOG,
        ws_max_size=1 << 20,
        access_log=False,
        proxy_headers=False,  # who asks is who connects: a header that anyone can send says nothing
        server_header=False,
        **more,
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: it can't.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family, backlog=BACKLOG)


class InThread(Protocol):
    """Calls in a thread."""

    async def __call__(self, call: Any, *arguments: Any) -> Any:
        """Call, and wait for what it returns or raises."""


class LimitedHttp(H11Protocol):
    """uvicorn's connection, with a deadline for each phase of a request, and ways to send large bodies.

    An application finds it in its scope's extensions, as `CONNECTION`.
    """

    def __init__(self, open_ones: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waits_since: float | None = None
        self._open = open_ones
        self._limits = open_ones.limits
        self._phase: tuple[str, object] = ("new", None)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        app: Any = self.app

        async def with_connection(scope: Any, receive: Any, send: Any) -> None:
            refused = refused_head(scope, self._limits.head_bytes) if scope["type"] == "http" else None
            if refused is not None:
                await problems.response(refused)(scope, receive, send)
                return
            extensions = {**(scope.get("extensions") or {}), CONNECTION: self}
            await app({**scope, "extensions": extensions}, receive, send)

        self.app = with_connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or say that there are too many."""
        super().connection_made(transport)
        if not self._open.admit(self, network(self.client[0] if self.client else "")):
            self._answer_and_close(problems.response(_BUSY))
            return
        self._enter("head")

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._release()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Say that a request can't be understood; end the connection if an answer to it has begun already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            problem = not_http(self._limits.head_bytes)
            self._answer_and_close(problems.response(problem))
        else:
            self.end()

    def _answer_and_close(self, answer: Response) -> None:
        """Send an answer that no application gives."""
        head = h11.Response(status_code=answer.status_code, headers=answer.raw_headers)
        for event in (head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        if self.cycle is not None:  # whoever still works on its answer can't send it any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to the WebSocket, which is counted in its stead."""
        self._release()
        super().handle_websocket_upgrade(event)
        self._phase = ("websocket", None)

    def pause_writing(self) -> None:
        """The client doesn't read."""
        super().pause_writing()
        self.waits_since = time.monotonic()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._limits.stalled_seconds, self.end)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self.waits_since = None if self._phase[0] == "answer" else self.waits_since
        _cancel(self._stalled)
        self._stalled = None

    def end(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        self.transport.abort()

    @property
    def open_connections(self) -> int:
        """Open connections of the server."""
        return len(self._open)

    @property
    def can_send_files(self) -> bool:
        """Whether what is sent goes to the socket as it is."""
        return self.transport.get_extra_info("sslcontext") is None

    async def send_data(self, data: memoryview) -> bool:
        """Send a part of the body of the answer that is under way, without copying it; False if nobody takes it."""
        if not await self._writable():
            return False
        for part in self.conn.send_with_data_passthrough(_framed(data)) or ():
            rest = memoryview(part)
            while rest:
                if not await self._writable():
                    return False
                self.transport.write(rest[:_PART])
                rest = rest[_PART:]
        return await self._writable()

    async def send_file(self, run: InThread, descriptor: int, offset: int, count: int) -> int:
        """Send a part of a file as part of the body; how many bytes that were: all, or 0 if nobody takes them.

        The system copies them from its cache to the socket. A thread asks it to, as it may have to read the disk.

        Args:
            run: calls in a thread.
            descriptor: of the file.
            offset, count: of the part.

        Raises:
            OSError: the file can't be read, or ends before that.
        """
        if not await self.all_written():
            return 0
        self.conn.send_with_data_passthrough(_framed(_Counted(count)))
        sock = os.dup(self.transport.get_extra_info("socket").fileno())  # a number that no one else closes
        done = 0
        try:
            while done < count:
                try:
                    sent = await run(os.sendfile, sock, descriptor, offset + done, count - done)
                except BlockingIOError:
                    if not await self._wait_for(sock):
                        return 0
                    continue
                except (BrokenPipeError, ConnectionError):
                    return 0
                if not sent:
                    raise OSError(errno.EIO, "the file ends too early")
                done += sent
        finally:
            os.close(sock)
        return done

    async def _writable(self) -> bool:
        """Wait until the client takes more; False if it is gone."""
        if self.flow.write_paused and not self.cycle.disconnected:
            await self.flow.drain()
        return not (self.cycle.disconnected or self.transport.is_closing())

    async def all_written(self) -> bool:
        """Wait until all that was written is with the system; False if the client is gone."""
        if not await self._writable():
            return False
        if self.transport.get_write_buffer_size():
            low, high = self.transport.get_write_buffer_limits()
            self.transport.set_write_buffer_limits(0)
            try:
                await self._writable()
            finally:
                if not self.transport.is_closing():  # one that is closed takes no limits
                    self.transport.set_write_buffer_limits(high, low)
        return await self._writable()

    async def _wait_for(self, sock: int) -> bool:
        """Wait until a socket takes more; False if it doesn't for too long, or the client is gone."""
        taken = asyncio.Event()
        self.loop.add_writer(sock, taken.set)
        self.waits_since = time.monotonic()
        try:
            async with asyncio.timeout(self._limits.stalled_seconds):
                await taken.wait()
        except TimeoutError:
            self.end()
            return False
        finally:
            self.loop.remove_writer(sock)
            self.waits_since = None
        return not self.cycle.disconnected

    def _look(self) -> None:
        """See which phase the connection is in now, and set its deadline if that is another one."""
        if self._phase[0] == "websocket" or self.transport.is_closing():
            return
        cycle = self.cycle
        under_way = cycle is not None and not cycle.response_complete
        if self.conn.their_state is h11.SEND_BODY:
            self._enter("body" if under_way else "rest of body", cycle)
        elif under_way:
            self._enter("answer", cycle)
        elif self._phase[0] in ("body", "rest of body", "answer"):
            self._enter("idle")
        else:
            self._enter("head")

    def _enter(self, name: str, of: object = None) -> None:
        if self._phase == (name, of):
            return
        self._phase = (name, of)
        _cancel(self._deadline)
        self._deadline = None
        self.waits_since = None if name == "answer" else time.monotonic()
        seconds = {
            "head": self._limits.head_seconds,
            "body": self._limits.body_seconds,
            "rest of body": _LINGER,
            "idle": self._limits.idle_seconds,
        }.get(name)
        if seconds is not None:
            self._deadline = self.loop.call_later(seconds, self.end)

    def _release(self) -> None:
        self._open.forget(self)
        _cancel(self._deadline)
        _cancel(self._stalled)


class _Counted:
    """So many bytes that are sent by another way, for the count of a body's bytes."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count


def _framed(data: Any) -> h11.Data:
    """A part of a body, of any kind that has a length."""
    return h11.Data(data=data)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
