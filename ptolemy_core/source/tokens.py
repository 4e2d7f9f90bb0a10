"""The token of an object's stamp: the time of its last modification, and a part of its ETag's digest.

It is a time in nanoseconds, as those of files are, so that a manifest or a restore can take it for one: whole
seconds are the object's, the rest stands for its ETag, and is 0 where there is none. A scan compares all of it. A
read compares the ETag, which each answer names, so that two versions can't be mixed up, whether or not a store heeds
If-Match; the times that stores name in listings and in answers aren't always the same.
"""

import hashlib
from datetime import datetime

SECOND = 1_000_000_000


def token_of(etag: str | None, time: str | datetime) -> int:
    """The token of an ETag, if there is one, and of a time: ISO 8601, or a datetime with its zone."""
    if isinstance(time, str):
        time = datetime.fromisoformat(time.replace("Z", "+00:00"))
    seconds = int(time.timestamp()) * SECOND
    return seconds + _part(etag) if etag else seconds


def same(scanned: int, found: int) -> bool:
    """Whether the tokens of a scan and of an answer are of one version."""
    return scanned == found or (scanned % SECOND == found % SECOND != 0)


def normal_etag(etag: str) -> str:
    """An ETag in one spelling: some stores leave out its quotation marks in listings."""
    return etag.removeprefix("W/").strip('"')


def _part(etag: str) -> int:
    """A number from 1 to 999,999,999."""
    digest = hashlib.sha256(normal_etag(etag).encode()).digest()
    return 1 + int.from_bytes(digest[:8], "little") % (SECOND - 1)
