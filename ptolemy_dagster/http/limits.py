"""How much one client may ask: the size of a body, and requests a second."""

import math
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptolemy_dagster.http import problems
from ptolemy_dagster.http.admission import network
from ptolemy_dagster.http.problems import Problem

_BURST_SECONDS = 2
"""A client that was silent may send so many seconds' worth of requests at once."""

_ROUNDING = 1e-6
_MAX_CLIENTS = 10_000


class BodyLimit:
    """Refuses bodies that are larger than a limit, before they are read where their length is announced."""

    def __init__(self, app: ASGIApp, max_body: int) -> None:
        self._app = app
        self._max = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > self._max:
            await problems.response(self._problem())(scope, receive, send)
            return
        left = self._max

        async def limited() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise self._problem()
            return message

        await self._app(scope, limited, send)

    def _problem(self) -> Problem:
        return Problem(
            413, "too-large", f"the body is larger than {self._max} bytes: send the settings of one project"
        )


class RateLimit:
    """A bucket of requests per address: it holds two seconds' worth, and fills at the rate."""

    def __init__(self, app: ASGIApp, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._rate = rate
        self._clock = clock
        self._full_at: dict[str, float] = {}
        """When each client's bucket will be full again; who isn't here has a full one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._rate:
            wait = self._take(network((scope.get("client") or ("",))[0]))
            if wait > 0:
                await problems.response(self._problem(wait))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _take(self, client: str) -> float:
        """Take a request out of a client's bucket; the seconds until there is one if it is empty."""
        now = self._clock()
        full_at = max(now, self._full_at.get(client, now)) + 1 / self._rate
        if full_at - now > _BURST_SECONDS + _ROUNDING:
            return full_at - now - _BURST_SECONDS
        if len(self._full_at) >= _MAX_CLIENTS:
            self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        if client in self._full_at or len(self._full_at) < _MAX_CLIENTS:
            self._full_at[client] = full_at
        return 0

    def _problem(self, wait: float) -> Problem:
        seconds = max(1, math.ceil(wait))
        return Problem(
            429,
            "too-many-requests",
            f"more than {self._rate} requests a second from this address: try again in {seconds} s",
            {"Retry-After": str(seconds)},
        )


class PlainPath:
    """`/v0/projects/` is `/v0/projects`: one slash at the end changes nothing, and redirects nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and len(scope["path"]) > 1 and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"][:-1]}
        await self._app(scope, receive, send)
