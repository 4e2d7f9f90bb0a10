"""Lists in pages: `limit` and `cursor` in the query, the next page's address in the header Link (RFC 8288)."""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, quote

from fastapi import Query, Request, Response

MAX_LIMIT = 10_000
USUAL = 1000
"""Rows of a page, if nothing else is asked for."""
Limit = Annotated[
    int,
    Query(ge=1, le=MAX_LIMIT, description="Rows at most; the header Link has the next page."),
]
NumberCursor = Annotated[
    int, Query(ge=-1, le=10**9, description="From the header Link of the page before; -1: from the first.")
]
LINK: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Link": {
                "description": 'The next page, `<ADDRESS>; rel="next"`, where there is more.',
                "schema": {"type": "string"},
            }
        }
    }
}

_T = TypeVar("_T")


def first_page(rows: Sequence[_T], limit: int) -> tuple[list[_T], bool]:
    """The rows of one page, of those found when one more was asked for; and whether there is more."""
    return list(rows[:limit]), len(rows) > limit


def link_next(request: Request, response: Response, cursor: object) -> None:
    """Say where the next page is: the same query with this cursor."""
    pairs = [pair for pair in query_pairs(request) if pair[0] != b"cursor"]
    pairs.append((b"cursor", str(cursor).encode()))
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs)
    response.headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'


def query_pairs(request: Request) -> list[tuple[bytes, bytes]]:
    """The query with every byte as it was sent: percent signs may carry names that aren't UTF-8."""
    raw: bytes = request.scope["query_string"]
    text = raw.decode("utf-8", "surrogateescape")
    pairs = parse_qsl(text, keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    return [(_bytes(name), _bytes(value)) for name, value in pairs]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
