"""The plan of an answer: status, headers, and the parts of its body; and refusals, as values."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ptolemy_core.catalog.served import HeldCar

CAR_TYPE = "application/vnd.ipld.car; version=1"
RAW_TYPE = "application/vnd.ipld.raw"

IMMUTABLE = "max-age=29030400, immutable, no-transform"
"""What a CID names never changes; and a proxy that compresses it would break ranges."""

SHARED = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": (
        "Accept-Ranges, Content-Disposition, Content-Length, Content-Location, Content-Range, ETag, X-Ipfs-Path, "
        "X-Ipfs-Roots"
    ),
    "X-Content-Type-Options": "nosniff",
}
"""Headers of all answers, refusals too: a page in a browser may read them."""

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, If-None-Match, If-Range, Range",
    "Access-Control-Max-Age": "86400",
}
"""Headers of the answer to a browser that asks whether a page may send a request."""


class Span(NamedTuple):
    """A byte range of a CAR."""

    car: HeldCar
    offset: int
    length: int


Part = bytes | Span


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request isn't fulfilled.

    Attributes:
        status: of HTTP.
        code: a stable name for programs, as those of `PtolemyError`.
        detail: what happened, to what, why, and what to do.
        headers: that go with it.
    """

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that fulfils a request.

    Attributes:
        status: of HTTP: 200, 206, 204 or 304.
        headers: without Content-Length.
        parts: of the body, in order; may be made as they are taken.
        size: bytes of the body; None if that isn't known before.
        once: leave out each block that was sent already: the body is a CAR whose sections are to be looked at.
    """

    status: int
    headers: Mapping[str, str]
    parts: Iterable[Part] = ()
    size: int | None = 0
    once: bool = False


def size_of(parts: Iterable[Part]) -> int:
    """Bytes of these parts."""
    return sum(part.length if isinstance(part, Span) else len(part) for part in parts)


def cut(parts: Iterable[Part], first: int, length: int) -> Iterator[Part]:
    """The bytes from `first` on of these parts, `length` of them."""
    for part in parts:
        size = part.length if isinstance(part, Span) else len(part)
        if first >= size:
            first -= size
            continue
        taken = min(size - first, length)
        if taken <= 0:
            return
        if isinstance(part, Span):
            yield Span(part.car, part.offset + first, taken)
        else:
            yield part[first : first + taken]
        first, length = 0, length - taken
