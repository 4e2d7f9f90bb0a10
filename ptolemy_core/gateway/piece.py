"""Requests for pieces: `/piece/{piece CID v1 or v2}` gives the bytes of the CAR, without the piece's padding.

Storage providers fetch deals' data from such addresses: HEAD first, then ranges in parallel (docs/serving.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ptolemy_core.catalog import served
from ptolemy_core.catalog.served import HeldCar
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.commp.piece_cid import parse_piece_cid
from ptolemy_core.dag import cid
from ptolemy_core.errors import NotFoundError
from ptolemy_core.gateway.access import Access, Grant
from ptolemy_core.gateway.answer import CAR_TYPE, IMMUTABLE, SHARED, Answer, Refusal, Span
from ptolemy_core.gateway.conditions import Outcome, decide

_LONGEST = 100
"""Characters of a piece CID in any common base, and more."""


@dataclass(frozen=True, slots=True)
class PieceRequest:
    """A request for a piece: GET or HEAD, the CID as it was sent, headers by lower-case names, what it may have."""

    method: str
    text: str
    headers: Mapping[str, str]
    grant: Grant


def answer_piece(
    catalog: Catalog, request: PieceRequest, access: Access, choose: Callable[[list[HeldCar]], HeldCar]
) -> Answer | Refusal:
    """The answer to a request for a piece.

    Args:
        catalog: to look in.
        request: what is asked for.
        access: of the server.
        choose: picks of the CARs with that content one that can be opened.

    Raises:
        StagingError, OutlineError: none of the CARs can be opened.
    """
    try:
        if len(request.text) > _LONGEST:
            raise ValueError("it is too long")
        wanted = cid.from_text(request.text)
        parse_piece_cid(wanted)
    except ValueError as error:
        return Refusal(
            400,
            "bad-cid",
            f"{request.text[:_LONGEST]!r} is no piece CID, version 1 (baga…) or 2 (bafkz…): {error}",
        )
    public = request.grant is Grant.PUBLIC
    found = served.pieces(catalog, wanted, public=public)
    if not found:
        if public and not access.is_open:
            return access.refusal()
        more = " public" if public else ""
        return Refusal(404, "unknown-piece", f"no{more} CAR here has the piece CID {request.text}")
    try:
        held = choose(found)
    except NotFoundError:
        return Refusal(
            404,
            "piece-away",
            f"the CAR of the piece {request.text} isn't here: it was removed after its delivery, or is lost",
        )
    caching = f"{'public' if held.public else 'private'}, {IMMUTABLE}"
    return answer_car(held, request.method, request.headers, {**SHARED, "Cache-Control": caching})


def answer_car(
    held: HeldCar, method: str, sent: Mapping[str, str], more: Mapping[str, str]
) -> Answer | Refusal:
    """The answer with a CAR's bytes, or the range of them that is asked for.

    Args:
        held: the CAR.
        method: GET or HEAD.
        sent: headers of the request, by names in lower case.
        more: headers of the answer beside those that say what it is.
    """
    name = cid.to_text(held.stored.piece_cid_v1)
    etag = f'"{name}"'
    decision = decide(method, sent, etag, held.size)
    headers = {**more, "Accept-Ranges": "bytes", "ETag": etag}
    match decision.outcome:
        case Outcome.OUTSIDE:
            return Refusal(
                416,
                "bad-range",
                f"the range {sent['range'][:100]!r} is outside of the CAR's {held.size} bytes",
                {"Accept-Ranges": "bytes", "Content-Range": decision.content_range(held.size)},
            )
        case Outcome.OTHER:
            return Refusal(412, "other-version", f"the ETag is {etag}, If-Match asks for another one")
        case Outcome.SAME:
            return Answer(304, headers)
        case Outcome.PART:
            headers["Content-Range"] = decision.content_range(held.size)
    headers["Content-Type"] = CAR_TYPE
    headers["Content-Disposition"] = f'attachment; filename="{name}.car"'
    part = Span(held, decision.first, decision.length)
    return Answer(decision.outcome.value, headers, (part,), decision.length)
