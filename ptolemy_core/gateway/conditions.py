"""Ranges and conditions of a request, for content that never changes and has a strong ETag.

Specification: RFC 9110, sections 13 and 14. One range is served; where several are asked for, all is sent.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_RANGE = re.compile(r"bytes=[ \t]*(?:(\d{1,99})-(\d{0,99})|-(\d{1,99}))[ \t]*", re.ASCII | re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


class Outcome(Enum):
    """What a request's conditions and range come to."""

    WHOLE = 200
    PART = 206
    SAME = 304
    """The client has it already."""
    OTHER = 412
    """The client wanted it only if it were another version."""
    OUTSIDE = 416
    """The range is outside the content."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome, and the bytes to be sent."""

    outcome: Outcome
    first: int
    length: int

    def content_range(self, size: int) -> str:
        """The header Content-Range of content of `size` bytes."""
        if self.outcome is Outcome.OUTSIDE:
            return f"bytes */{size}"
        return f"bytes {self.first}-{self.first + self.length - 1}/{size}"


def decide(method: str, headers: Mapping[str, str], etag: str, size: int) -> Decision:
    """What is to be sent of content of `size` bytes.

    Args:
        method: GET or HEAD.
        headers: of the request, by names in lower case.
        etag: of the content; with `W/` before it if it is weak.
        size: bytes of the content.
    """
    strong = not etag.startswith("W/")
    match = headers.get("if-match")
    if match is not None and not (strong and names(match, etag, weak=False)):
        return Decision(Outcome.OTHER, 0, 0)
    none_match = headers.get("if-none-match")
    if none_match is not None and names(none_match, etag, weak=True):
        return Decision(Outcome.SAME, 0, 0)
    asked = headers.get("range")
    condition = headers.get("if-range")
    if asked is None or method != "GET" or (condition is not None and condition.strip() != etag):
        return Decision(Outcome.WHOLE, 0, size)
    return _range(asked, size)


def names(listed: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of ETags, or `*`, has this one; `weak`: also as a weak one."""
    if listed.strip() == "*":
        return True
    own = etag.removeprefix("W/")
    return any(found[1] == own and (weak or not found[0].startswith("W/")) for found in _TAG.finditer(listed))


def _range(asked: str, size: int) -> Decision:
    found = _RANGE.fullmatch(asked.strip())
    if found is None:
        return Decision(
            Outcome.WHOLE, 0, size
        )  # several, malformed, or of another unit: as if it weren't there
    if found[3] is not None:
        length = min(int(found[3]), size)
        return Decision(Outcome.PART, size - length, length) if length else Decision(Outcome.OUTSIDE, 0, 0)
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return Decision(Outcome.WHOLE, 0, size)
    if first >= size:
        return Decision(Outcome.OUTSIDE, 0, 0)
    return Decision(Outcome.PART, first, min(last, size - 1) - first + 1)
