"""Who may ask: the token, and on loopback the protection from pages in the user's own browser.

A page from elsewhere can make a browser send requests to 127.0.0.1. It can't forge `Host` (so a name that was
rebound to 127.0.0.1 shows there), nor `Origin` and `Sec-Fetch-Site`, which say that another site is behind it.
Programs as curl send none of the latter two and pass.
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_dagster.http import problems
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.http.settings import ApiSettings

OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/health"})
"""Need no token: they say nothing of projects, and a browser can't send one."""

_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Refuses requests from other sites, under other names, and without the token."""

    def __init__(self, app: ASGIApp, settings: ApiSettings) -> None:
        self._app = app
        self._hosts = settings.hosts
        self._token = settings.token.encode() if settings.token else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded_send(message: object) -> None:
            assert isinstance(message, dict)
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_SECURITY_HEADERS]
            await send(message)

        headers = Headers(scope=scope)
        refusal = (
            self._other_name(headers)
            or _other_site(scope["method"], headers)
            or self._no_token(scope["path"], headers)
        )
        if refusal:
            await problems.response(refusal)(scope, receive, guarded_send)
        else:
            await self._app(scope, receive, guarded_send)

    def _other_name(self, headers: Headers) -> Problem | None:
        name = host_name(headers.get("host", ""))
        if self._hosts is None or name in self._hosts:
            return None
        return Problem(
            403,
            "other-host",
            f"this server isn't called {name[:100]!r}: use {', '.join(sorted(self._hosts))}, or start it with "
            "--allow-host NAME",
        )

    def _no_token(self, path: str, headers: Headers) -> Problem | None:
        if self._token is None or path in OPEN_PATHS:
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token):
            return None
        return Problem(
            401,
            "token",
            "this needs the header `Authorization: Bearer TOKEN`"
            + (", and the one that was sent isn't this server's" if given else ""),
            {"WWW-Authenticate": 'Bearer realm="ptolemy"'},
        )


def host_name(host: str) -> str:
    """The name of a Host header in lower case, without port and brackets."""
    if host.startswith("["):
        inside = host[1:].partition("]")[0]
        try:
            return str(ipaddress.ip_address(inside))
        except ValueError:
            return inside.lower()
    return host.partition(":")[0].lower().rstrip(".")


def _other_site(method: str, headers: Headers) -> Problem | None:
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        return Problem(403, "other-origin", f"requests of pages from {origin[:100]!r} are refused")
    site = headers.get("sec-fetch-site", "none")
    followed_link = method == "GET" and headers.get("sec-fetch-mode") == "navigate"
    if site not in ("none", "same-origin") and not followed_link:
        return Problem(403, "other-origin", "requests of pages from other sites are refused")
    return None
