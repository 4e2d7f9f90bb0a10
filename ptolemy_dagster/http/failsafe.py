"""What nobody expected becomes a 500 with a number that the log has too, and a database that is away a 503."""

import logging
import secrets

from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptolemy_dagster.http import problems
from ptolemy_dagster.http.problems import Problem

_log = logging.getLogger("ptolemy.http")


class Failsafe:
    """Answers requests whose handling failed; says nothing of how to the outside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            # Starlette answers failures by a 500 of its own before it hands them on: ours replaces it
            if message["type"] == "http.response.start" and message["status"] == 500:
                return
            if message["type"] == "http.response.body" and not started:
                return
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            number = secrets.token_hex(4)
            _log.exception("%s %s failed: %s", scope["method"], scope["path"], number)
            if started:
                raise
            await problems.response(_problem(error, number))(scope, receive, send)


def _problem(error: Exception, number: str) -> Problem:
    if isinstance(error, OperationalError | PoolTimeout):
        return Problem(
            503,
            "catalog-away",
            f"the catalog's database doesn't answer: try again; the server's log has the reason under {number}",
            {"Retry-After": "5"},
        )
    return Problem(500, "internal", f"the server failed; its log has the reason under {number}")
