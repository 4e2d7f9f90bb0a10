"""Answers whose bodies are bytes of CARs, and refusals, as they go to a client.

Nothing is sent before the first bytes of a body were read, so that what can't be read is an answer of its own; later,
the connection is closed.
"""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import parse_qsl

import anyio
from starlette.types import Scope, Send

from ptolemy_core.catalog.outage import is_away
from ptolemy_core.errors import (
    EncryptionError,
    NotFoundError,
    OutlineError,
    PtolemyError,
    SourceChangedError,
    SourceError,
    StagingError,
)
from ptolemy_core.gateway.access import Grant
from ptolemy_core.gateway.answer import SHARED, Answer, Refusal
from ptolemy_core.gateway.body import Body
from ptolemy_core.gateway.library import FullError, Library
from ptolemy_dagster.http import problems
from ptolemy_dagster.http.sending import ClientGoneError, Pump, Way

_log = logging.getLogger("ptolemy.pieces")

_FIRST = 1 << 20
"""Bytes of a body that are read before its headers are sent."""


@dataclass(slots=True)
class Exchange:
    """A request, and what came of it."""

    scope: Scope
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path: str
    began: float
    grant: Grant = Grant.PUBLIC
    status: int = 0
    first: float = 0.0
    sent: int = 0
    ending: str = ""

    @classmethod
    def of(cls, scope: Scope) -> "Exchange":
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("ascii", "replace")
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            headers[key] = (
                f"{headers[key]}, {value.decode('latin-1')}" if key in headers else value.decode("latin-1")
            )
        query = dict(parse_qsl(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True))
        return cls(scope, headers, query, path, time.monotonic())

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return method

    @property
    def client(self) -> str:
        return str((self.scope.get("client") or ("",))[0])


@dataclass(frozen=True, slots=True)
class Bodies:
    """What answers are made with: the open CARs of a server, and the threads that read them."""

    library: Library = field(default_factory=Library)
    pump: Pump = field(default_factory=Pump)

    def close(self) -> None:
        """Close files and end threads."""
        self.pump.close()
        self.library.close()

    async def fulfil(self, request: Exchange, answer: Answer, send: Send) -> None:
        """Send an answer; raises what its first bytes do, and nothing later.

        Raises:
            PtolemyError, OSError: its CAR can't be read; nothing was sent yet.
        """
        if request.method == "HEAD" or not answer.parts:
            await start(request, send, answer.status, answer.headers, answer.size)
            await send({"type": "http.response.body", "body": b""})
            return
        way = Way(request.scope, send)
        body = Body(self.library, answer)
        pump = self.pump
        try:
            first = await pump.run(partial(body.begin, _FIRST, by_file=way.can_send_files))
            await start(request, send, answer.status, answer.headers, answer.size)
            await pump.send(body, first, way)
            await way.end()
        except ClientGoneError:
            request.ending = "client"
        except FAULTS as error:
            if not request.status:
                raise
            request.ending = "changed" if isinstance(error, SourceError) else "unreadable"
            _log.error("%s broke off after %d bytes: %s", request.path[:200], way.sent, error)
            await way.break_off()
        finally:
            request.sent = way.sent
            await _closed(pump, body)


FAULTS = (PtolemyError, OSError)
"""What may be wrong with a CAR that is read."""


async def _closed(pump: Pump, body: Body) -> None:
    """Close a body in a thread, whatever becomes of the request."""
    if body.at_end:
        return
    with anyio.CancelScope(shield=True):
        await pump.run(body.close)


def fault_of(request: Exchange, error: PtolemyError | OSError) -> Refusal:
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
        (OutlineError, StagingError, EncryptionError, OSError),
        503,
        "unreadable",
        "this CAR can't be read at the moment: its owner's log says why",
    ),
)


async def start(
    request: Exchange, send: Send, status: int, headers: Mapping[str, str], size: int | None
) -> None:
    """Send the status and headers, with the length of the body where that is known."""
    sent = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    if size is not None and status not in (204, 304):
        sent.append((b"content-length", str(size).encode()))
    request.status = status
    request.first = time.monotonic() - request.began
    await send({"type": "http.response.start", "status": status, "headers": sent})


async def refuse(request: Exchange, send: Send, refusal: Refusal) -> None:
    """Send a refusal as problem details."""
    told = json.dumps(problems.body(refusal.status, refusal.code, refusal.detail, {})).encode()
    headers = {**SHARED, "Cache-Control": "no-store", "Content-Type": problems.MEDIA_TYPE, **refusal.headers}
    await start(request, send, refusal.status, headers, len(told))
    await send({"type": "http.response.body", "body": told if request.method != "HEAD" else b""})
