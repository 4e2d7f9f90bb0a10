"""Methods of addresses: HEAD is answered wherever GET is, and a wrong method is told which ones there are."""

import re

from fastapi import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
_OWN_HEAD = re.compile(r"/v0/(?:car|manifest)/|/projects/[^/]+/(?:cars/|manifest|summary)")
"""Addresses of files that answer HEAD themselves, and needn't read them for it."""


class Head:
    """Answers HEAD as GET; the server leaves the body away."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and not _OWN_HEAD.match(scope["path"]):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


def allowed(request: Request) -> list[str]:
    """The methods of an address, whichever of its routes have them."""
    routes = request.app.routes
    found = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    return ["GET", "HEAD", *found[1:]] if "GET" in found else found
