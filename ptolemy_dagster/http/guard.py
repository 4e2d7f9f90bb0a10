"""Who may ask: the token, and on loopback the protection from pages in the user's own browser.

A page from elsewhere can make a browser send requests to 127.0.0.1, and open WebSockets to it. It can't forge `Host`
(so a name that was rebound to 127.0.0.1 shows there), nor `Origin` and `Sec-Fetch-Site`, which say that another site
is behind it. Programs as curl send none of the latter two and pass. The API and the web UI have the same guard.
"""

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_dagster.http import problems
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.http.settings import ApiSettings

OPEN_PATHS = frozenset({"/docs", "/openapi.json", "/health"})
"""Need no token: they say nothing of projects, and a browser can't send one."""

API_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?", re.ASCII)
_ONCE = ("host", "origin", "authorization", "content-length", "sec-fetch-site", "sec-fetch-mode")
"""Headers of which a second one could say something else than the one that is looked at."""

Authorized = Callable[[str, Headers], bool]
"""Whether a request for a path, with these headers, may be answered."""


class SiteGuard:
    """Refuses requests from other sites and under other names."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._hosts = settings.hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        guarded_send = with_headers(send, API_HEADERS)
        refusal = refused(scope, Headers(scope=scope), self._hosts)
        if refusal:
            await problems.response(refusal)(scope, receive, guarded_send)
        else:
            await self._app(scope, receive, guarded_send)


class TokenGuard:
    """Refuses requests without the token, where there is one."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token.encode() if token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and self._token and scope["path"] not in OPEN_PATHS:
            given = bearer(Headers(scope=scope))
            if not hmac.compare_digest(given.encode(), self._token):
                await problems.response(missing_token(given))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def refused(scope: Scope, headers: Headers, hosts: frozenset[str] | None) -> Problem | None:
    """Why a request or WebSocket isn't answered: under another name, or from another site; None if it may be.

    Args:
        scope: of the request.
        headers: of the request.
        hosts: names by which the server may be called; None: any name.
    """
    repeated = [name for name in _ONCE if len(headers.getlist(name)) > 1]
    if repeated:
        return Problem(400, "bad-request", f"the header {repeated[0]} is there more than once: send it once")
    return _other_name(headers, hosts) or _other_site(scope.get("method", ""), headers)


def bearer(headers: Headers) -> str:
    """The token in a request's header Authorization; empty if there is none."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def missing_token(given: str) -> Problem:
    """The answer to a request without the right token."""
    return Problem(
        401,
        "token",
        "this needs the header `Authorization: Bearer TOKEN`"
        + (", and the one that was sent isn't this server's" if given else ""),
        {"WWW-Authenticate": 'Bearer realm="ptolemy"'},
    )


def with_headers(send: Send, added: Iterable[tuple[bytes, bytes]]) -> Send:
    """Send with these headers in each answer, also where a WebSocket is refused."""

    async def sending(message: Any) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return sending


def host_name(host: str) -> str:
    """The name of a Host header in lower case, without port and brackets; empty if it isn't a name and a port."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return ""
    name = found["name"]
    if name.startswith("["):
        try:
            return str(ipaddress.ip_address(name[1:-1]))
        except ValueError:
            return ""
    return name.removesuffix(".")


def _other_name(headers: Headers, hosts: frozenset[str] | None) -> Problem | None:
    given = headers.get("host", "")
    name = host_name(given)
    if hosts is None or (name and name in hosts):
        return None
    return Problem(
        403,
        "other-host",
        f"this server has no name {given[:100]!r}: use {', '.join(sorted(hosts))}, or start it with "
        "--allow-host NAME",
    )


def _other_site(method: str, headers: Headers) -> Problem | None:
    origin = headers.get("origin")
    host = headers.get("host", "").lower()
    # compared as text: what isn't exactly this server's origin is another's, whatever it may parse to
    if origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}"):
        return Problem(403, "other-origin", f"requests of pages from {origin[:100]!r} are refused")
    site = headers.get("sec-fetch-site", "none").lower()
    followed_link = (
        method in ("GET", "HEAD")
        and headers.get("sec-fetch-mode", "").lower() == "navigate"
        and headers.get("sec-fetch-dest", "document").lower() == "document"
    )
    if site not in ("none", "same-origin") and not followed_link:
        return Problem(403, "other-origin", "requests of pages from other sites are refused")
    return None
