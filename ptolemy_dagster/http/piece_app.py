"""The piece server as an ASGI application: `/piece/{cid}`, `/ipfs/{cid}[/path]`, `/metrics` and `/health`.

What a request means is `ptolemy_core.gateway`; how answers are sent is `answers`.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import anyio
import sqlalchemy as sa
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_core.catalog import Catalog
from ptolemy_core.errors import UnavailableError
from ptolemy_core.gateway.access import Access, Grant
from ptolemy_core.gateway.answer import PREFLIGHT, SHARED, Answer, Refusal
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.piece import PieceRequest, answer_piece
from ptolemy_core.gateway.trustless import PathRequest, answer_path
from ptolemy_dagster.http.answers import FAULTS, Bodies, Exchange, fault_of, refuse, start
from ptolemy_dagster.http.connections import CONNECTION
from ptolemy_dagster.http.piece_metrics import TEXT_TYPE, Meter, Served
from ptolemy_dagster.http.sending import Pump
from ptolemy_dagster.http.settings import is_loopback

PIECE, IPFS = "/piece/", "/ipfs/"

_HEALTH_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class PieceServer:
    """The parts of a piece server: its CARs, who may have what, how bodies are sent, what is counted."""

    holdings: Holdings
    access: Access = field(default_factory=Access)
    pump: Pump = field(default_factory=Pump)
    meter: Meter = field(default_factory=Meter)

    @property
    def bodies(self) -> Bodies:
        """What its answers are made with."""
        return Bodies(self.holdings.library, self.pump)

    def counts(self, scope: Scope) -> str:
        """What it counted so far, as Prometheus reads it; `scope` is of a request to the server."""
        connection: Any = (scope.get("extensions") or {}).get(CONNECTION)
        self.meter.sending = self.pump.active
        count = None if connection is None else connection.open_connections
        return self.meter.text(count, len(self.holdings.library))

    def close(self) -> None:
        """Close files and end threads."""
        self.bodies.close()


class PieceApp:
    """Answers requests for pieces and `/ipfs/` paths."""

    def __init__(self, server: PieceServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Exchange.of(scope)
        try:
            await self._answer(request, send)
        finally:
            self._note(request)

    async def _answer(self, request: Exchange, send: Send) -> None:
        if request.method == "OPTIONS":
            await start(request, send, 204, {**SHARED, **PREFLIGHT}, None)
            await send({"type": "http.response.body", "body": b""})
            return
        if request.method not in ("GET", "HEAD"):
            detail = f"{request.method} isn't allowed here, only GET and HEAD"
            await refuse(request, send, Refusal(405, "method", detail, {"Allow": "GET, HEAD, OPTIONS"}))
            return
        grant = self._server.access.grant(
            request.path, request.query, request.headers.get("authorization"), time.time()
        )
        if isinstance(grant, Refusal):
            await refuse(request, send, grant)
            return
        request.grant = grant
        if _route(request) == "other":
            await self._other(request, send)
            return
        try:
            answer = await self._server.pump.run(self._plan, request)
            if _ends_unseen(request, answer):
                answer = _NO_END
            if isinstance(answer, Refusal):
                await refuse(request, send, answer)
            else:
                await self._server.bodies.fulfil(request, answer, send)
        except FAULTS as error:
            if request.status:
                raise
            await refuse(request, send, fault_of(request, error))

    def _plan(self, request: Exchange) -> Answer | Refusal:
        server = self._server
        if _route(request) == "piece":
            text = request.path.removeprefix(PIECE)
            asked = PieceRequest(request.method, text, request.headers, request.grant)
            holdings = server.holdings
            return answer_piece(holdings.catalog, asked, server.access, holdings.library.first_of)
        path = request.path.removeprefix(IPFS)
        found = PathRequest(request.method, path, request.query, request.headers, request.grant)
        return answer_path(server.holdings, found, server.access)

    async def _other(self, request: Exchange, send: Send) -> None:
        if request.path == "/health":
            await self._health()
            await _text(request, send, '{"status":"ok"}', "application/json")
        elif request.path == "/metrics":
            if request.grant is not Grant.ALL and not is_loopback(request.client):
                await refuse(request, send, self._server.access.refusal("counts aren't for everyone"))
                return
            await _text(request, send, self._server.counts(request.scope), TEXT_TYPE)
        else:
            detail = "there is nothing here: pieces are at /piece/CID, files and folders at /ipfs/CID"
            await refuse(request, send, Refusal(404, "no-such-page", detail))

    async def _health(self) -> None:
        with anyio.move_on_after(_HEALTH_SECONDS):
            await anyio.to_thread.run_sync(_ask, self._server.holdings.catalog, abandon_on_cancel=True)
            return
        raise UnavailableError(f"the database didn't answer for {_HEALTH_SECONDS} s")

    def _note(self, request: Exchange) -> None:
        now = time.monotonic()
        self._server.meter.note(
            Served(
                client=request.client,
                method=request.method if request.method in _METHODS else "other",
                path=request.path,
                route=_route(request),
                status=request.status,
                sent=request.sent,
                seconds=now - request.began,
                first=request.first,
                ending=request.ending,
            )
        )


_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")


_NO_END = Refusal(
    505,
    "http-version",
    "in HTTP/1.0 nobody could tell whether this body is whole, as its length isn't known before: use HTTP/1.1",
)


def _ends_unseen(request: Exchange, answer: Answer | Refusal) -> bool:
    """Whether a body that is interrupted would look like a whole one: HTTP/1.0 has no chunks."""
    return (
        isinstance(answer, Answer)
        and answer.size is None
        and request.method == "GET"
        and request.scope.get("http_version") == "1.0"
    )


def _route(request: Exchange) -> str:
    path = request.path
    return "piece" if path.startswith(PIECE) else "ipfs" if path.startswith(IPFS) else "other"


def _ask(catalog: Catalog) -> None:
    with catalog.read() as connection:
        connection.execute(sa.select(1))


async def _text(request: Exchange, send: Send, text: str, kind: str) -> None:
    content = text.encode()
    headers = {**SHARED, "Content-Type": kind, "Cache-Control": "no-store"}
    await start(request, send, 200, headers, len(content))
    await send({"type": "http.response.body", "body": content if request.method != "HEAD" else b""})


class Mounted:
    """Pieces and paths go to the piece server, everything else to another application."""

    def __init__(self, pieces: ASGIApp, other: ASGIApp) -> None:
        self._pieces = pieces
        self._other = other

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        mine = scope["type"] == "http" and scope["path"].startswith((PIECE, IPFS))
        await (self._pieces if mine else self._other)(scope, receive, send)
