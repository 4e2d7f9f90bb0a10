"""The piece server as an ASGI application: `/piece/{cid}`, `/ipfs/{cid}[/path]`, `/metrics` and `/health`.

What a request means is `ptolemy_core.gateway`; this turns it into HTTP. Nothing is sent before the first bytes of a
body were read, so that what can't be read is an answer of its own; later, the connection is closed.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import anyio
import sqlalchemy as sa
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.outage import is_away
from ptolemy_core.errors import (
    NotFoundError,
    OutlineError,
    PtolemyError,
    SourceChangedError,
    SourceError,
    StagingError,
    UnavailableError,
)
from ptolemy_core.gateway.access import Access, Grant
from ptolemy_core.gateway.answer import PREFLIGHT, SHARED, Answer, Refusal
from ptolemy_core.gateway.body import Body
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import FullError
from ptolemy_core.gateway.piece import PieceRequest, answer_piece
from ptolemy_core.gateway.trustless import PathRequest, answer_path
from ptolemy_dagster.http import problems
from ptolemy_dagster.http.connections import CONNECTION
from ptolemy_dagster.http.piece_metrics import TEXT_TYPE, Meter, Served
from ptolemy_dagster.http.sending import ClientGoneError, Pump, Way
from ptolemy_dagster.http.settings import is_loopback

_log = logging.getLogger("ptolemy.pieces")

PIECE, IPFS = "/piece/", "/ipfs/"
_FIRST = 1 << 20
"""Bytes of a body that are read before its headers are sent."""

_HEALTH_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class PieceServer:
    """The parts of a piece server: its CARs, who may have what, how bodies are sent, what is counted."""

    holdings: Holdings
    access: Access = field(default_factory=Access)
    pump: Pump = field(default_factory=Pump)
    meter: Meter = field(default_factory=Meter)

    def close(self) -> None:
        """Close files and end threads."""
        self.pump.close()
        self.holdings.library.close()


@dataclass(slots=True)
class _Request:
    """A request, and what came of it."""

    scope: Scope
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path: str
    route: str
    began: float
    grant: Grant = Grant.PUBLIC
    status: int = 0
    first: float = 0.0
    sent: int = 0
    ending: str = ""

    @classmethod
    def of(cls, scope: Scope) -> "_Request":
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("ascii", "replace")
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            headers[key] = (
                f"{headers[key]}, {value.decode('latin-1')}" if key in headers else value.decode("latin-1")
            )
        query = dict(parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True))
        route = "piece" if path.startswith(PIECE) else "ipfs" if path.startswith(IPFS) else "other"
        return cls(scope, headers, query, path, route, time.monotonic())

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def client(self) -> str:
        return str((self.scope.get("client") or ("",))[0])


class PieceApp:
    """Answers requests for pieces and `/ipfs/` paths."""

    def __init__(self, server: PieceServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = _Request.of(scope)
        try:
            await self._answer(request, send)
        finally:
            self._note(request)

    async def _answer(self, request: _Request, send: Send) -> None:
        if request.method == "OPTIONS":
            await _start(request, send, 204, {**SHARED, **PREFLIGHT}, None)
            await send({"type": "http.response.body", "body": b""})
            return
        if request.method not in ("GET", "HEAD"):
            detail = f"{request.method} isn't allowed here, only GET and HEAD"
            await _refuse(request, send, Refusal(405, "method", detail, {"Allow": "GET, HEAD, OPTIONS"}))
            return
        grant = self._server.access.grant(
            request.path, request.query, request.headers.get("authorization"), time.time()
        )
        if isinstance(grant, Refusal):
            await _refuse(request, send, grant)
            return
        request.grant = grant
        if request.route == "other":
            await self._other(request, send)
            return
        try:
            answer = await self._server.pump.run(self._plan, request)
            if isinstance(answer, Refusal):
                await _refuse(request, send, answer)
            else:
                await self._fulfil(request, answer, send)
        except _FAULTS as error:
            if request.status:
                raise
            await _refuse(request, send, _fault(request, error))

    def _plan(self, request: _Request) -> Answer | Refusal:
        server = self._server
        if request.route == "piece":
            text = request.path.removeprefix(PIECE)
            asked = PieceRequest(request.method, text, request.headers, request.grant)
            holdings = server.holdings
            return answer_piece(holdings.catalog, asked, server.access, holdings.library.first_of)
        path = request.path.removeprefix(IPFS)
        found = PathRequest(request.method, path, request.query, request.headers, request.grant)
        return answer_path(server.holdings, found, server.access)

    async def _fulfil(self, request: _Request, answer: Answer, send: Send) -> None:
        if request.method == "HEAD" or not answer.parts:
            await _start(request, send, answer.status, answer.headers, answer.size)
            await send({"type": "http.response.body", "body": b""})
            return
        way = Way(request.scope, send)
        body = Body(self._server.holdings.library, answer)
        pump = self._server.pump
        try:
            first: bytes | memoryview = b""
            if not (way.can_send_files and await pump.run(body.file_range)):
                first = await pump.run(body.read, _FIRST)
            await _start(request, send, answer.status, answer.headers, answer.size)
            await pump.send(body, first, way)
            await way.end()
        except ClientGoneError:
            request.ending = "client"
        except _FAULTS as error:
            if not request.status:
                raise
            request.ending = "changed" if isinstance(error, SourceError) else "unreadable"
            _log.error("%s broke off after %d bytes: %s", request.path[:200], way.sent, error)
            await way.break_off()
        finally:
            request.sent = way.sent
            await _closed(pump, body)

    async def _other(self, request: _Request, send: Send) -> None:
        if request.path == "/health":
            await self._health()
            await _text(request, send, '{"status":"ok"}', "application/json")
        elif request.path == "/metrics":
            if request.grant is not Grant.ALL and not is_loopback(request.client):
                await _refuse(request, send, self._server.access.refusal("counts aren't for everyone"))
                return
            connection: Any = (request.scope.get("extensions") or {}).get(CONNECTION)
            self._server.meter.sending = self._server.pump.active
            count = None if connection is None else connection.open_connections
            await _text(
                request, send, self._server.meter.text(count, len(self._server.holdings.library)), TEXT_TYPE
            )
        else:
            detail = "there is nothing here: pieces are at /piece/CID, files and folders at /ipfs/CID"
            await _refuse(request, send, Refusal(404, "no-such-page", detail))

    async def _health(self) -> None:
        with anyio.move_on_after(_HEALTH_SECONDS):
            await anyio.to_thread.run_sync(_ask, self._server.holdings.catalog, abandon_on_cancel=True)
            return
        raise UnavailableError(f"the database didn't answer for {_HEALTH_SECONDS} s")

    def _note(self, request: _Request) -> None:
        now = time.monotonic()
        self._server.meter.note(
            Served(
                client=request.client,
                method=request.method if request.method in _METHODS else "other",
                path=request.path,
                route=request.route,
                status=request.status,
                sent=request.sent,
                seconds=now - request.began,
                first=request.first,
                ending=request.ending,
            )
        )


_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")
_FAULTS = (PtolemyError, OSError)


async def _closed(pump: Pump, body: Body) -> None:
    """Close a body in a thread, whatever becomes of the request."""
    with anyio.CancelScope(shield=True):
        await pump.run(body.close)


def _ask(catalog: Catalog) -> None:
    with catalog.read() as connection:
        connection.execute(sa.select(1))


def _fault(request: _Request, error: PtolemyError | OSError) -> Refusal:
    """What is answered where a CAR can't be read. Names of files and folders are for those who may have all."""
    if is_away(error):
        number = problems.logged(error, "the database")
        problem = problems.away(number)
        return Refusal(503, problem.kind, problem.detail, dict(problem.headers or {}))
    _log.error("%s can't be answered: %s", request.path[:200], error)
    for kinds, status, code, public in _ANSWERS:
        if isinstance(error, kinds):
            detail = str(error) if request.grant is Grant.ALL else public
            headers = {"Retry-After": "5"} if isinstance(error, FullError) else {}
            return Refusal(status, getattr(error, "code", code), detail, headers)
    raise error


_ANSWERS: tuple[tuple[tuple[type[Exception], ...], int, str, str], ...] = (
    (
        (SourceChangedError,),
        409,
        "source-changed",
        "a source file isn't what this CAR was built from any more, so the CAR can't be given any more: its owner's "
        "log names the file",
    ),
    (
        (SourceError,),
        409,
        "source-unusable",
        "a source file of this CAR can't be read: its owner's log names it",
    ),
    ((FullError,), 503, "too-many-cars", "too many other CARs are being fetched: try again later"),
    ((NotFoundError,), 404, "not-found", "this CAR isn't here any more"),
    (
        (OutlineError, StagingError, OSError),
        503,
        "unreadable",
        "this CAR can't be read at the moment: its owner's log says why",
    ),
)


async def _start(
    request: _Request, send: Send, status: int, headers: Mapping[str, str], size: int | None
) -> None:
    sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if size is not None and status not in (204, 304):
        sent.append((b"content-length", str(size).encode()))
    request.status = status
    request.first = time.monotonic() - request.began
    await send({"type": "http.response.start", "status": status, "headers": sent})


async def _refuse(request: _Request, send: Send, refusal: Refusal) -> None:
    told = json.dumps(problems.body(refusal.status, refusal.code, refusal.detail, {})).encode()
    headers = {**SHARED, "Cache-Control": "no-store", "Content-Type": problems.MEDIA_TYPE, **refusal.headers}
    await _start(request, send, refusal.status, headers, len(told))
    await send({"type": "http.response.body", "body": told if request.method != "HEAD" else b""})


async def _text(request: _Request, send: Send, text: str, kind: str) -> None:
    content = text.encode()
    headers = {**SHARED, "Content-Type": kind, "Cache-Control": "no-store"}
    await _start(request, send, 200, headers, len(content))
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
