"""The guard in front of Dagster's web UI and GraphQL, which have none of their own.

It refuses other names and other sites as the API's does, WebSockets too. Where the server has a token, programs send
it as to the API; a person signs in with it on a page of ours, and a cookie then speaks for it. GraphQL is answered
to POSTs of JSON alone: a page of another site can't send such without being asked for permission, and following a
link can't launch or delete anything.
"""

import hashlib
import hmac
import html
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_dagster.http import problems
from ptolemy_dagster.http.guard import bearer, missing_token, refused, with_headers
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.http.settings import LOOPBACK_NAMES, ApiSettings

MAX_BODY = 8 << 20
"""Bytes of a request's body; a backfill of very many partitions names all of them."""

SIGN_IN = "/ptolemy-sign-in"
COOKIE = "ptolemy_web_ui"
_SIGNED_IN_SECONDS = 12 * 3600
_MAX_SIGN_IN_BODY = 16 << 10

_UI_HEADERS = [
    (b"content-security-policy", b"frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-content-type-options", b"nosniff"),
]
PAGE_HEADERS = [
    *_UI_HEADERS[1:],
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
"""Of pages that need no script, and nothing but their own styles."""
_PATH_HERE = re.compile(r"/(?![/\\])[!-~]*", re.ASCII)

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Ptolemy</title>
<style>body {{ font: 16px sans-serif; max-width: 30em; margin: 15vh auto; padding: 0 1em }}
input, button {{ font: inherit; padding: .3em .5em; width: 100%; box-sizing: border-box; margin: .3em 0 }}
</style><h1>Ptolemy</h1>
<p>{message}</p>
<form method="post" action="{action}"><input type="hidden" name="next" value="{following}">
<input type="password" name="token" autocomplete="current-password" aria-label="token" autofocus required>
<button>Sign in</button></form>
"""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the web UI.

    Attributes:
        hosts: names by which it may be called.
        key: made of the token, which can't be made of it; empty: no token is asked for.
        prefix: the path below which it is, as /dagster; empty: at the root.
    """

    hosts: tuple[str, ...]
    key: str = ""
    prefix: str = ""

    @classmethod
    def of(cls, settings: ApiSettings) -> "Access":
        """The web UI's access by the API's settings."""
        reached = urlsplit(settings.ui_url or "")
        names = LOOPBACK_NAMES | (settings.hosts or frozenset()) | {(reached.hostname or "").rstrip(".")}
        if settings.host not in ("0.0.0.0", "::"):
            names |= {settings.host.strip("[]").lower()}
        key = _key(settings.token) if settings.token else ""
        return cls(tuple(sorted(names - {""})), key, reached.path.rstrip("/"))

    @classmethod
    def from_json(cls, text: bytes) -> "Access":
        """What `to_json` made."""
        values = json.loads(text)
        return cls(tuple(values["hosts"]), values["key"], values["prefix"])

    def at(self, prefix: str) -> "Access":
        """The same access below another path."""
        return replace(self, prefix=prefix.rstrip("/"))

    def to_json(self) -> bytes:
        """For another process."""
        return json.dumps(asdict(self)).encode()


class UiGuard:
    """Refuses what isn't for Dagster's webserver to answer."""

    def __init__(
        self,
        app: ASGIApp,
        access: Access,
        *,
        any_name: bool = False,
        headers: Sequence[tuple[bytes, bytes]] = _UI_HEADERS,
    ) -> None:
        """Guard an application.

        Args:
            app: that is guarded.
            access: who may use it.
            any_name: whether it may be called by any name: a token is asked for then.
            headers: of all answers.
        """
        self._app = app
        self._headers = headers
        self._hosts = None if any_name and access.key else frozenset(access.hosts)
        self._key = access.key
        self._prefix = access.prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        guarded_send = with_headers(send, self._headers)
        answer: ASGIApp | None = None
        refusal = refused(scope, headers, self._hosts) or self._odd(scope, headers)
        if refusal is None and self._key and not self._knows_token(headers):
            if (
                scope["type"] == "http"
                and scope["path"] == self._prefix + SIGN_IN
                and scope["method"] == "POST"
            ):
                try:
                    answer = await self._sign_in(Request(scope, receive))
                except ClientDisconnect:
                    return
            elif scope["type"] == "http" and "text/html" in headers.get("accept", ""):
                answer = self._page(_following(scope), "Sign in with this server's token.")
            else:
                refusal = missing_token(bearer(headers))
        elif refusal is None and scope["path"] == self._prefix + SIGN_IN:
            answer = RedirectResponse(f"{self._prefix}/", 303)
        if refusal is not None:
            answer = problems.response(refusal)
        await (answer or self._app)(scope, receive, guarded_send)

    def _odd(self, scope: Scope, headers: Headers) -> Problem | None:
        """Requests that the web UI never makes, and Dagster would answer."""
        path = scope["path"].removeprefix(self._prefix)
        if ".." in path.split("/"):
            return Problem(400, "bad-request", "a path with .. in it is refused")
        if path in ("/notebook", "/dagit/notebook"):
            return Problem(404, "no-such-page", "Ptolemy has no notebooks")
        if scope["type"] != "http" or path.rstrip("/") != "/graphql":
            return None
        if scope["method"] in ("GET", "HEAD") and "text/html" not in headers.get("accept", ""):
            return Problem(
                405, "method", "GraphQL is answered to POST alone, not to links", {"Allow": "POST"}
            )
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] == "POST" and kind != "application/json":
            return Problem(
                415, "media-type", f"GraphQL must be sent as application/json, not as {kind[:100]!r}"
            )
        return None

    def _knows_token(self, headers: Headers) -> bool:
        given = bearer(headers)
        if given:
            return hmac.compare_digest(_key(given), self._key)
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_signed(cookie.value)

    def _is_signed(self, value: str) -> bool:
        until, _, signature = value.partition(".")
        if not re.fullmatch("[0-9]{1,12}", until, re.ASCII) or int(until) < time.time():
            return False
        return hmac.compare_digest(signature.encode(), self._signature(until).encode())

    def _signature(self, until: str) -> str:
        return hmac.new(bytes.fromhex(self._key), until.encode(), hashlib.sha256).hexdigest()

    async def _sign_in(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MAX_SIGN_IN_BODY:
                return problems.response(Problem(413, "too-large", "the form is too large"))
        try:
            fields = parse_qs(body.decode("latin-1"), max_num_fields=10)
        except ValueError:
            fields = {}
        following = fields.get("next", [""])[0]
        if not _PATH_HERE.fullmatch(following):
            following = f"{self._prefix}/"
        if not hmac.compare_digest(_key(fields.get("token", [""])[0].strip()), self._key):
            return self._page(following, "That isn't this server's token: try again.")
        until = str(int(time.time()) + _SIGNED_IN_SECONDS)
        answer = RedirectResponse(following, 303)
        answer.set_cookie(
            COOKIE,
            f"{until}.{self._signature(until)}",
            max_age=_SIGNED_IN_SECONDS,
            path=f"{self._prefix}/",
            httponly=True,
            samesite="strict",
        )
        return answer

    def _page(self, following: str, message: str) -> Response:
        text = _PAGE.format(
            message=html.escape(message),
            action=html.escape(self._prefix + SIGN_IN),
            following=html.escape(following),
        )
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",  # without a referrer the form's Origin would be null
        }
        return HTMLResponse(text, 401, headers)


def _key(token: str) -> str:
    return hashlib.sha256(b"ptolemy web ui\0" + token.encode("utf-8", "surrogateescape")).hexdigest()


def _following(scope: Scope) -> str:
    """Where to go after signing in: what was asked for."""
    raw: bytes = scope.get("raw_path") or b"/"
    query: bytes = scope.get("query_string", b"")
    return (raw + (b"?" + query if query else b"")).decode("latin-1")
