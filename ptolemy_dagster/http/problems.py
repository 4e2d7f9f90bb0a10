"""Errors as problem details (RFC 9457): one shape for all answers that aren't successes.

`type` is a URN that scripts may branch on, `detail` names value, limit and remedy for people.
"""

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ptolemy_core.catalog.outage import is_away
from ptolemy_core.errors import (
    NotFoundError,
    ProjectExistsError,
    PtolemyError,
    SettingsError,
    UnknownProjectError,
)
from ptolemy_core.wrong_values import wrong_value
from ptolemy_dagster.http.methods import allowed
from ptolemy_dagster.roots import OutsideRootsError

_log = logging.getLogger("ptolemy.http")

MEDIA_TYPE = "application/problem+json"
_API = "/v0/"
_URN = "urn:ptolemy:problem:"


class Problem(HTTPException):
    """An answer that isn't a success; `more` becomes further members of its JSON."""

    def __init__(
        self, status: int, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.kind = kind
        self.more = more


class ProblemDetails(BaseModel):
    """What went wrong, as RFC 9457 has it; some problems have further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="A URN, the same for the same kind of problem.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What happened, to what, why, and what to do.")


_EXAMPLES: dict[int, tuple[str, str, dict[str, Any]]] = {
    400: ("bad-request", "the body isn't JSON: Expecting value at character 0", {}),
    401: ("token", "this needs the header `Authorization: Bearer TOKEN`", {}),
    403: (
        "outside-roots",
        "target_dir '/etc' is outside the folders that this server may use: use a folder below /data",
        {},
    ),
    404: ("unknown-project", "no project 'nemo': create it first (projects: delta)", {}),
    405: ("method", "PUT isn't allowed here, only GET, HEAD", {}),
    409: (
        "running",
        "blitz of project 'delta' is running: wait for it, or cancel it with POST /v0/runs/{run_id}/cancel",
        {"run_id": "c900d207-01ad-4558-9555-ccd194310973"},
    ),
    413: ("too-large", "the body is larger than 65536 bytes: send the settings of one project", {}),
    422: (
        "bad-value",
        "car_size must be 1 to 31 GiB, got 64: a 32 GiB piece holds at most 31.75 GiB; use car_size=31",
        {},
    ),
    429: ("too-many-requests", "more than 200 requests a second from this address: try again in 1 s", {}),
    500: ("internal", "the server failed; see its log, number 1f0c2d", {}),
    503: ("dagster-away", "Dagster can't be reached at http://127.0.0.1:3000: start it, then try again", {}),
}
_ANYWHERE = (400, 401, 403, 405, 413, 429, 500)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: these statuses, and those that any request may get."""
    return {status: _response(status) for status in sorted({*statuses, *_ANYWHERE})}


def _response(status: int) -> dict[str, Any]:
    kind, detail, more = _EXAMPLES[status]
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                "example": body(status, kind, detail, more),
            }
        },
    }
    if status in (429, 503):
        answer["headers"] = {
            "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
        }
    return answer


def body(status: int, kind: str, detail: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """A problem's JSON."""
    return {
        "type": _URN + kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    } | dict(more)


def response(problem: Problem) -> Response:
    """A problem as an answer; the text is ASCII, so a name that isn't UTF-8 can't break it."""
    content = json.dumps(body(problem.status_code, problem.kind, problem.detail, problem.more))
    return Response(content, problem.status_code, problem.headers, MEDIA_TYPE)


_STATUS: dict[type[PtolemyError], int] = {
    UnknownProjectError: 404,
    NotFoundError: 404,
    OutsideRootsError: 403,
    SettingsError: 422,
    ProjectExistsError: 409,
}
"""Statuses of the engine's errors and of those derived from them; of any other it is 409."""


def logged(error: BaseException, what: str) -> str:
    """Write an error, with what failed by it, to the log; the number under which it is there."""
    number = secrets.token_hex(4)
    _log.error("%s failed: %s", what, number, exc_info=error)
    return number


def away(number: str) -> Problem:
    """The database is away: where it is and why is in the log alone."""
    return Problem(
        503,
        "catalog-away",
        f"the catalog's database doesn't answer: try again; see the server's log, number {number}",
        {"Retry-After": "5"},
    )


def of_error(error: PtolemyError) -> Problem:
    """A user's error of the engine as a problem: its code is the end of `type`."""
    if is_away(error):
        return away(logged(error, "the database"))
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 409)
    return Problem(status, error.code, str(error))


def install(app: FastAPI, page: Callable[[Problem], Response]) -> None:
    """Make all errors of an application problems; a browser gets them as a page, outside the API."""

    def answer(request: Request, problem: Problem) -> Response:
        return page(problem) if _is_browser(request) else response(problem)

    @app.exception_handler(PtolemyError)
    async def _engine(request: Request, error: Exception) -> Response:
        assert isinstance(error, PtolemyError)
        return answer(request, of_error(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        reasons = [wrong_value(str(one["loc"][-1]), one) for one in error.errors()]
        return answer(request, Problem(422, "bad-value", "; ".join(reasons)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(request, error if isinstance(error, Problem) else _plain(request, error))


def _is_browser(request: Request) -> bool:
    """Whether a person asks: browsers name text/html first, programs take anything or ask for JSON."""
    wanted = request.headers.get("accept", "")
    return "text/html" in wanted and not request.url.path.startswith(_API)


def _plain(request: Request, error: HTTPException) -> Problem:
    headers = error.headers or {}
    if error.status_code == 404:
        return Problem(404, "no-such-page", "no such address: the API is described at /docs")
    if error.status_code == 405:
        methods = ", ".join(allowed(request))
        return Problem(
            405, "method", f"{request.method} isn't allowed here, only {methods}", {"Allow": methods}
        )
    return Problem(error.status_code, "bad-request", str(error.detail), headers)
