"""Who may fetch what: projects whose pieces are public, bearer tokens, and URLs that are signed until a time.

Neither tokens nor the key of signatures are in the catalog or in messages.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ptolemy_core.gateway.answer import Refusal

EXPIRES, SIGNATURE = "expires", "signature"
"""Parameters of a signed URL."""

_LATEST = 1 << 40


class Grant(Enum):
    """What a request may have."""

    PUBLIC = "public"
    """What anyone may have."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Access:
    """What proves that a client may have more than what is public.

    Attributes:
        tokens: any of these as a bearer token.
        key: of signed URLs; empty: there are none.
    """

    tokens: tuple[str, ...] = field(default=(), repr=False)
    key: bytes = field(default=b"", repr=False)

    @property
    def is_open(self) -> bool:
        """Whether nothing is offered but what is public."""
        return not self.tokens and not self.key

    def grant(
        self, path: str, query: Mapping[str, str], authorization: str | None, now: float
    ) -> Grant | Refusal:
        """What a request may have.

        Args:
            path: of the request, as it was sent.
            query: its parameters.
            authorization: its header.
            now: seconds since 1970.
        """
        if SIGNATURE in query and self.key:
            return self._signed(path, query, now)
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not self.tokens:
            return Grant.PUBLIC
        bytes_given = given.strip().encode()
        # all are compared, so that the time tells nothing
        fits = [hmac.compare_digest(bytes_given, token.encode()) for token in self.tokens]
        return Grant.ALL if any(fits) else self.refusal("the token that was sent isn't one of this server's")

    def refusal(self, why: str = "this isn't public") -> Refusal:
        """The answer to a request that proves nothing."""
        ways = []
        if self.tokens:
            ways.append("the header `Authorization: Bearer TOKEN`")
        if self.key:
            ways.append("a signed URL that hasn't expired")
        return Refusal(
            401,
            "token",
            f"{why}: it needs {' or '.join(ways)}",
            {"WWW-Authenticate": 'Bearer realm="ptolemy pieces"'},
        )

    def _signed(self, path: str, query: Mapping[str, str], now: float) -> Grant | Refusal:
        expires = query.get(EXPIRES, "")
        if not (expires.isascii() and expires.isdigit() and len(expires) <= 20 and int(expires) < _LATEST):
            return self.refusal("a signed URL has the time at which it expires, and this one hasn't")
        right = signature(self.key, path, int(expires))
        if not hmac.compare_digest(right.encode(), query[SIGNATURE].encode()):
            return self.refusal("the URL's signature isn't this server's")
        if int(expires) < now:
            return self.refusal("the URL has expired")
        return Grant.ALL


def signature(key: bytes, path: str, expires: int) -> str:
    """The signature of a URL's path until a time, seconds since 1970."""
    return hmac.new(key, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def signed_url(key: bytes, base: str, path: str, expires: int) -> str:
    """A URL that anyone may fetch until it expires.

    Args:
        key: of the server's signatures.
        base: of the server, as `https://pieces.example.org`.
        path: below it, as `/piece/baga...`.
        expires: seconds since 1970.
    """
    return f"{base.rstrip('/')}{path}?{EXPIRES}={expires}&{SIGNATURE}={signature(key, path, expires)}"


def parse_tokens(lines: Sequence[str]) -> tuple[str, ...]:
    """The tokens of a file's lines: one a line, without empty ones and those that start with `#`."""
    stripped = (line.strip() for line in lines)
    return tuple(dict.fromkeys(line for line in stripped if line and not line.startswith("#")))
