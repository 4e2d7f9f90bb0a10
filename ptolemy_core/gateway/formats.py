"""Which response a client wants of an `/ipfs/` path: parameters of the query and the header Accept.

Specification: https://specs.ipfs.tech/http-gateways/trustless-gateway/, "HTTP Request" and "CAR format signaling".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ptolemy_core.gateway.answer import Refusal

Scope = Literal["block", "entity", "all"]

_CAR, _RAW = "application/vnd.ipld.car", "application/vnd.ipld.raw"
_FORMATS = {"car": _CAR, "raw": _RAW}
_SCOPES: tuple[Scope, ...] = ("block", "entity", "all")
_BYTES = re.compile(r"(-?\d{1,18}):(-?\d{1,18}|\*)", re.ASCII)


class ByteRange(NamedTuple):
    """A range of a file's bytes, as `entity-bytes` has it: inclusive, negative from the end, None for the end."""

    first: int
    last: int | None

    def of(self, size: int) -> tuple[int, int] | None:
        """First byte and end of it in a file of this size; None if it is empty or outside of the file."""
        first = self.first if self.first >= 0 else max(0, size + self.first)
        last = size - 1 if self.last is None else self.last if self.last >= 0 else size + self.last
        end = min(last + 1, size)
        return (first, end) if first < end else None

    def is_outside(self, size: int) -> bool:
        """Whether it begins after the end of a file of this size, or ends before its first byte."""
        before_begin = self.last is not None and self.last < 0 and size + self.last < 0
        return self.first >= max(size, 1) or before_begin

    def __str__(self) -> str:
        return f"{self.first}:{'*' if self.last is None else self.last}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The response that a client wants.

    Attributes:
        form: a CAR, or the raw block.
        scope: of a CAR: blocks from the end of the path on.
        range: of a CAR: only what this range of a file needs.
        dups: of a CAR: whether blocks are repeated; None if the client doesn't say.
        by_query: whether the query names the form.
    """

    form: Literal["car", "raw"]
    scope: Scope = "all"
    range: ByteRange | None = None
    dups: bool | None = None
    by_query: bool = False


def parse_wanted(query: Mapping[str, str], accept: str | None) -> Wanted | Refusal:
    """The response that a query and a header Accept ask for; the query comes first."""
    form = query.get("format")
    parameters: dict[str, str] = {}
    if form is None:
        found = next(_acceptable(accept or ""), None)
        if found is None:
            return _bad(
                "this gateway gives blocks and CARs only: ask for ?format=car or ?format=raw, or send the header "
                f"Accept: {_CAR} or {_RAW}"
            )
        form, parameters = found
    if form == "raw":
        return Wanted("raw", by_query="format" in query)
    if form != "car":
        return _bad(f"format {form[:40]!r} isn't offered: use car or raw")
    if "format" in query:
        parameters = next((more for kind, more in _acceptable(accept or "") if kind == "car"), {})
    given = {**parameters, **{k.removeprefix("car-"): v for k, v in query.items() if k.startswith("car-")}}
    return _car(query, given)


def _car(query: Mapping[str, str], given: Mapping[str, str]) -> Wanted | Refusal:
    if given.get("version", "1") != "1":
        return _bad(f"car-version {given['version'][:40]!r} isn't offered: use 1")
    if given.get("order", "dfs") not in ("dfs", "unk"):
        return _bad(f"car-order {given['order'][:40]!r} isn't offered: use dfs or unk")
    dups = given.get("dups")
    if dups not in (None, "y", "n"):
        return _bad(f"car-dups must be y or n, got {dups[:40]!r}")
    scope = query.get("dag-scope", "all")
    if scope not in _SCOPES:
        return _bad(f"dag-scope must be block, entity or all, got {scope[:40]!r}")
    chosen: Scope = scope
    byte_range = None
    if "entity-bytes" in query:
        found = _BYTES.fullmatch(query["entity-bytes"])
        if found is None:
            return _bad(
                f"entity-bytes must be FROM:TO, got {query['entity-bytes'][:60]!r}: as 0:1023 or -1024:*"
            )
        byte_range = ByteRange(int(found[1]), None if found[2] == "*" else int(found[2]))
        chosen = "entity"
        first, last = byte_range
        if last is not None and (first < 0) == (last < 0) and last < first:
            return _bad(f"entity-bytes {byte_range} ends before it begins")
    return Wanted(
        "car", chosen, byte_range, None if dups is None else dups == "y", by_query="format" in query
    )


def _acceptable(accept: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Forms that a header Accept names, best first, with their parameters; unknown ones don't come."""
    found = []
    for number, one in enumerate(accept[:4096].split(",")):
        kind, *parameters = (part.strip() for part in one.split(";"))
        form = next((name for name, media in _FORMATS.items() if media == kind.lower()), None)
        if form is None:
            continue
        values = dict(_parameter(part) for part in parameters if part)
        try:
            quality = float(values.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            found.append((-quality, number, form, values))
    for _, _, form, values in sorted(found, key=lambda one: one[:2]):
        yield form, values


def _parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"')


def _bad(detail: str) -> Refusal:
    return Refusal(400, "bad-request", detail)
