"""Heads of requests, their line and headers: how long they may be, and which ones are refused before all else.

h11 looks at the length of a head only while it is incomplete, so one that comes in a single piece is measured here.
"""

from starlette.types import Scope

from ptolemy_dagster.http.problems import Problem

_CLOSE = {"Connection": "close"}
_LINE = len(b"GET  HTTP/1.1\r\n")
_COLON_AND_END = 4


def not_http(limit: int) -> Problem:
    """The answer to what can't be read as a request whose head has at most so many bytes."""
    return Problem(
        400, "not-http", f"this isn't an HTTP request, or its headers are longer than {limit} bytes", _CLOSE
    )


def refused_head(scope: Scope, limit: int) -> Problem | None:
    """Why a request isn't looked at for its head; None if it is. The connection ends after the answer."""
    headers = scope["headers"]
    size = _LINE + len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) + _COLON_AND_END for name, value in headers)
    if size > limit:
        return Problem(
            431, "head-too-large", f"the request's line and headers are longer than {limit} bytes", _CLOSE
        )
    names = {name for name, _ in headers}
    if names >= {b"transfer-encoding", b"content-length"}:  # a proxy may have believed the other one
        detail = "the headers Content-Length and Transfer-Encoding exclude each other: send one of them"
        return Problem(400, "bad-request", detail, _CLOSE)
    return None
