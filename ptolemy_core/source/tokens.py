"""The token of an object's stamp: 64 bits that stand for its ETag, or where it has none for its time.

An ETag is compared in this form everywhere: each answer to a read names the ETag of the very bytes that it brings, so
that two versions can't be mixed up, whether or not a store heeds If-Match.
"""

import hashlib
from datetime import datetime


def token_of(etag: str | None, time: str | datetime = "") -> int:
    """The token of an ETag; of a time (ISO 8601, or in UTC) where there is no ETag."""
    if etag:
        return _number(normal_etag(etag))
    if isinstance(time, str):
        time = datetime.fromisoformat(time.replace("Z", "+00:00"))
    return int(time.timestamp()) * 1_000_000_000


def normal_etag(etag: str) -> str:
    """An ETag in one spelling: some stores leave out its quotation marks in listings."""
    return etag.removeprefix("W/").strip('"')


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)
