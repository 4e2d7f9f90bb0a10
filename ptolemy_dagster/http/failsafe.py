"""What nobody expected becomes a 500 with a number that the log has too, and a database that is away a 503."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptolemy_core.catalog.outage import is_away
from ptolemy_dagster.http import problems
from ptolemy_dagster.http.problems import Problem

_SHOWN = 200
"""Characters of an address in the log."""


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
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Exception as error:
            number = problems.logged(error, f"{scope['method']} {scope['path'][:_SHOWN]!r}")
            if started:
                raise
            problem = problems.away(number) if is_away(error) else _internal(number)
            await problems.response(problem)(scope, receive, send)


def _internal(number: str) -> Problem:
    return Problem(500, "internal", f"the server failed; see its log, number {number}")
