"""The most frequent requests, answered before FastAPI looks at them: it takes longer over each than their answer.

`GET /v0/projects/NAME` and `GET /v0/carfile_meta/NAME` without a query: what dashboards and scripts ask again and
again. The answers are made by the same functions as FastAPI's routes, which describe them and take all others, also
those that end in an error.
"""

import re

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_core.catalog.outage import is_away
from ptolemy_core.setting_checks import NAME_PATTERN
from ptolemy_dagster.http.carfile_meta import cars_page
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.paging import USUAL
from ptolemy_dagster.http.projects import status_answer
from ptolemy_dagster.http.turns import Turns

_PATH = re.compile(rf"/v0/(projects|carfile_meta)/({NAME_PATTERN.strip('^$')})", re.ASCII)


class Short:
    """Answers what it can, and hands all else to an application."""

    def __init__(self, app: ASGIApp, context: Context, turns: Turns) -> None:
        self._app = app
        self._context = context
        self._turns = turns

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._answer(scope)
        await (response or self._app)(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response | None:
        """The answer to a request, if it is one of these and is no error."""
        if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
            return None
        asked = _PATH.fullmatch(scope["path"])
        if asked is None:
            return None
        try:
            if asked[1] == "projects":
                return status_answer(self._context, *await self._turns.statuses.ask(asked[2]))
            return await self._turns.reads.ask(lambda: cars_page(self._context, scope, asked[2], USUAL, -1))
        except Exception as error:
            if is_away(error):  # asking again would take as long
                raise
            return None  # the route meets it too, and tells of it
