"""Requests for `/ipfs/{cid}[/path]`: a block, or a CAR of what is below it.

Specification: https://specs.ipfs.tech/http-gateways/trustless-gateway/. CARs are version 1, in depth-first order;
their root is the CID of the request. A CID that the catalog doesn't know is 404: single leaves of files are such.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ptolemy_core.car import nodes
from ptolemy_core.dag import cid, varint
from ptolemy_core.errors import NotFoundError
from ptolemy_core.gateway.access import Access, Grant
from ptolemy_core.gateway.answer import IMMUTABLE, RAW_TYPE, SHARED, Answer, Part, Refusal, Span, size_of
from ptolemy_core.gateway.conditions import Outcome, decide, names
from ptolemy_core.gateway.dag import Holdings, Target, resolve
from ptolemy_core.gateway.formats import Wanted, parse_wanted
from ptolemy_core.reader.hashes import parse_cid, parse_text

PROBE = bytes.fromhex("01550000")
"""bafkqaaa, the empty identity CID: clients ask for it to learn whether this is a trustless gateway."""

MOST_ONCE = 200_000
"""Blocks of a CAR at most of which none is repeated: the server keeps the CIDs of those that it sent."""

_LONGEST = 100
_FILE_NAME = re.compile(r'[^\x20-\x7e]|["\\/]')


@dataclass(frozen=True, slots=True)
class PathRequest:
    """A request for an `/ipfs/` path.

    Attributes:
        method: GET or HEAD.
        path: what comes after `/ipfs/`, percent-encoded as it was sent.
        query: its parameters.
        headers: by names in lower case.
        grant: what it may have.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    grant: Grant


@dataclass(frozen=True, slots=True)
class _Found:
    """The end of a path: what is there, the sections on the way to it, and the CIDs of the path's steps."""

    target: Target
    way: Sequence[Part]
    roots: Sequence[bytes]


def answer_path(holdings: Holdings, request: PathRequest, access: Access) -> Answer | Refusal:
    """The answer to a request for a path.

    Raises:
        StagingError, OutlineError, SourceError: the CARs can't be read.
        UnavailableError: the catalog can't be.
    """
    text, *steps = [part for part in request.path.split("/") if part] or [""]
    wanted = parse_wanted(request.query, request.headers.get("accept"))
    root = _parse(text)
    if isinstance(root, Refusal):
        return root
    if isinstance(wanted, Refusal):
        return wanted
    if root == PROBE and not steps:
        return _probe(request, wanted)
    found = _find(holdings, request, root, [unquote_to_bytes(step) for step in steps])
    if isinstance(found, Refusal):
        return _instead(found, request, access)
    if wanted.form == "raw":
        return _raw(holdings, request, found, wanted)
    return _car(request, found, wanted, root)


def _parse(text: str) -> bytes | Refusal:
    try:
        if len(text) > _LONGEST:
            raise ValueError("it is too long")
        binary = parse_text(text)
        parsed = parse_cid(binary)
    except ValueError as error:
        return Refusal(400, "bad-cid", f"{text[:_LONGEST]!r} is no CID: {error}")
    return cid.DAG_PB_PREFIX + parsed.digest if parsed.version == 0 else binary


def _find(holdings: Holdings, request: PathRequest, root: bytes, steps: Sequence[bytes]) -> _Found | Refusal:
    public = request.grant is Grant.PUBLIC
    unknown = Refusal(
        404, "unknown-cid", f"the catalog knows no file, shard or root with the CID {cid.to_text(root)}"
    )
    try:
        target = resolve(holdings, root, public=public)
        if target is None:
            return unknown
        way: list[Part] = []
        roots = [root]
        for step in steps:
            way.append(target.block())
            found = target.child(step)
            if found is None:
                shown = step.decode("utf-8", "replace")[:200]
                return Refusal(404, "unknown-path", f"there is no {shown!r} in {cid.to_text(target.cid)}")
            between, target = found
            way += between
            roots.append(target.cid)
    except NotFoundError:
        return Refusal(
            404,
            "car-away",
            f"the CAR of {cid.to_text(root)} isn't here: it was removed after its delivery, or is lost",
        )
    return _Found(target, way, roots)


def _instead(refusal: Refusal, request: PathRequest, access: Access) -> Refusal:
    """What is answered where something isn't found: it may be that it isn't public."""
    if request.grant is Grant.PUBLIC and not access.is_open:
        return access.refusal()
    if (
        "only-if-cached" in request.headers.get("cache-control", "").lower()
        and refusal.code != "unknown-path"
    ):
        return Refusal(412, "not-here", refusal.detail)
    return refusal


def _probe(request: PathRequest, wanted: Wanted) -> Answer:
    headers = {**SHARED, "Cache-Control": f"public, {IMMUTABLE}", "X-Ipfs-Path": "/ipfs/bafkqaaa"}
    body = b""
    if wanted.form == "raw":
        headers |= {"Content-Type": RAW_TYPE, "ETag": '"bafkqaaa.raw"'}
    else:
        # a DAG-CBOR map: {"roots": [CID], "version": 1}
        link = b"\xd8\x2a" + bytes([0x40 + 1 + len(PROBE)]) + b"\x00" + PROBE
        body = b"\xa2\x65roots\x81" + link + b"\x67version\x01"
        body = varint.encode(len(body)) + body
        headers |= {"Content-Type": _car_type(dups=False), "ETag": 'W/"bafkqaaa.car"'}
    headers["Content-Disposition"] = _disposition(request, "bafkqaaa", wanted.form)
    return Answer(200, headers, (body,), len(body))


def _headers(request: PathRequest, found: _Found) -> dict[str, str]:
    path = "/".join(quote_from_bytes(unquote_to_bytes(part)) for part in request.path.split("/") if part)
    shared = "public" if request.grant is Grant.PUBLIC else "private"
    return {
        **SHARED,
        "Cache-Control": f"{shared}, {IMMUTABLE}",
        "X-Ipfs-Path": f"/ipfs/{path}",
        "X-Ipfs-Roots": ",".join(map(cid.to_text, found.roots)),
    }


def _raw(holdings: Holdings, request: PathRequest, found: _Found, wanted: Wanted) -> Answer | Refusal:
    name = cid.to_text(found.target.cid)
    data = _block(holdings, found.target.block())
    headers = _headers(request, found) | {"ETag": f'"{name}.raw"', "Accept-Ranges": "bytes"}
    decision = decide(request.method, request.headers, headers["ETag"], len(data))
    match decision.outcome:
        case Outcome.OUTSIDE:
            return Refusal(
                416,
                "bad-range",
                f"the range is outside of the block's {len(data)} bytes",
                {"Content-Range": decision.content_range(len(data))},
            )
        case Outcome.OTHER:
            return Refusal(
                412, "other-version", f"the ETag is {headers['ETag']}, If-Match asks for another one"
            )
        case Outcome.SAME:
            return Answer(304, headers)
        case Outcome.PART:
            headers["Content-Range"] = decision.content_range(len(data))
    headers["Content-Type"] = RAW_TYPE
    headers["Content-Disposition"] = _disposition(request, name, "bin")
    _locate(request, headers, wanted)
    body = data[decision.first : decision.first + decision.length]
    return Answer(decision.outcome.value, headers, (body,), len(body))


def _block(holdings: Holdings, part: Part) -> bytes:
    """The block of a section."""
    if isinstance(part, Span):
        with holdings.library.use(part.car) as car:
            part = car.read(part.offset, part.length)
    _, begin = varint.decode(part)
    return part[begin + cid.SIZE :]


def _car(request: PathRequest, found: _Found, wanted: Wanted, root: bytes) -> Answer | Refusal:
    target = found.target
    size = target.size
    if wanted.range is not None and size is not None and wanted.range.is_outside(size):
        return Refusal(
            400, "bad-range", f"entity-bytes {wanted.range} is outside of the file, which has {size} bytes"
        )
    once = not wanted.dups
    if once and wanted.scope != "block" and target.blocks > MOST_ONCE:
        if wanted.dups is False:
            return Refusal(
                406,
                "too-many-blocks",
                f"a CAR of more than {MOST_ONCE} blocks isn't given with car-dups=n: use car-dups=y",
            )
        once = False
    headers = _headers(request, found)
    headers["ETag"] = _etag(request, wanted, once)
    match = request.headers.get("if-none-match")
    if match is not None and names(match, headers["ETag"], weak=True):
        return Answer(304, headers)
    headers["Accept-Ranges"] = "none"
    headers["Content-Type"] = _car_type(dups=not once)
    headers["Content-Disposition"] = _disposition(request, cid.to_text(root), "car")
    _locate(request, headers, wanted)
    parts: Iterable[Part] = [nodes.header(root), *found.way]
    if wanted.scope != "all":
        parts = [*parts, *_scoped(target, wanted, size)]
    elif _is_one_range(target):
        parts = [*parts, *target.everything()]
    else:
        return Answer(200, headers, chain(parts, target.everything()), None, once)
    return Answer(200, headers, parts, None if once else size_of(parts), once)


def _is_one_range(target: Target) -> bool:
    """Whether everything below is known without reading."""
    return target.size is not None or getattr(target, "end", 1) > 0


def _scoped(target: Target, wanted: Wanted, size: int | None) -> Sequence[Part]:
    if wanted.scope == "block":
        return [target.block()]
    if wanted.range is None or size is None:
        return list(target.entity(None))
    chosen = wanted.range.of(size)
    return [target.block()] if chosen is None else list(target.entity(chosen))


def _etag(request: PathRequest, wanted: Wanted, once: bool) -> str:
    """One for each response that differs; it begins with the scope, as the specification has it."""
    what = f"{request.path}\n{wanted.range}\n{once}"
    digest = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return f'W/"{wanted.scope}.{digest}.car"'


def _car_type(*, dups: bool) -> str:
    return f"application/vnd.ipld.car; version=1; order=dfs; dups={'y' if dups else 'n'}"


def _disposition(request: PathRequest, name: str, ending: str) -> str:
    ending = "bin" if ending == "raw" else ending
    chosen = request.query.get("filename", "")[:200]
    return f'attachment; filename="{_FILE_NAME.sub("_", chosen) or f"{name}.{ending}"}"'


def _locate(request: PathRequest, headers: dict[str, str], wanted: Wanted) -> None:
    """Say where this very response is, where the query alone doesn't."""
    if wanted.by_query:
        return
    parameters = [f"format={wanted.form}"]
    if wanted.form == "car":
        parameters.append(f"dag-scope={wanted.scope}")
        if wanted.range is not None:
            parameters.append(f"entity-bytes={wanted.range}")
        if wanted.dups is not None:
            parameters.append(f"car-dups={'y' if wanted.dups else 'n'}")
    headers["Content-Location"] = f"{headers['X-Ipfs-Path']}?{'&'.join(parameters)}"
