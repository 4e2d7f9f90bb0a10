"""Listing an object store: pages of keys, from several places at once.

A listing is sequential by nature, each page says where the next one begins. So if it doesn't end soon, the keys are
divided at some folders near the top, and the ranges between these are listed side by side, each with its own pages.
"""

import bisect
import operator
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ptolemy_core.errors import SourceUnreadableError

THREADS = 8
"""Ranges that are listed at once."""

_MOST_RANGES = 16
_FIRST = 4
"""Pages that are listed one after the other before it is worthwhile to divide the rest."""

_DEPTH = 4
"""Levels below the prefix at which a place to divide is looked for."""


class Object(NamedTuple):
    """A key with its size and token, and why it is left out, if it is known already.

    `key` is whole, with the source's prefix.
    """

    key: str
    size: int
    token: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a listing.

    Attributes:
        objects: in the order of their keys.
        folders: what keys begin with that were folded at a delimiter.
        following: where the next page begins, in the store's own terms; None at the end.
    """

    objects: list[Object]
    folders: list[str]
    following: str | None


class Lister(Protocol):
    """Lists keys, in the order of their UTF-8 bytes, which is that of their characters. Thread-safe."""

    def page(
        self, prefix: str, *, after: str = "", following: str | None = None, folded: bool = False
    ) -> Page:
        """A page of the keys that begin with the prefix.

        Args:
            prefix: of the keys.
            after: leave out the keys up to this one.
            following: where a page before said that this one begins.
            folded: list only the level of the prefix; what is below is named as folders.
        """


def pages(lister: Lister, prefix: str, threads: int = THREADS) -> Iterator[list[Object]]:
    """All keys that begin with the prefix, in pages, in no order."""
    reached = ""
    for count, first in enumerate(_range(lister, prefix, "", None), 1):
        yield first
        reached = first[-1].key
        if count == _FIRST:
            break
    else:
        return
    borders = [one for one in _borders(lister, prefix) if one > reached]
    if not borders:
        yield from _range(lister, prefix, reached, None)
        return
    ranges = list(zip([reached, *borders], [*borders, None], strict=True))
    todo: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
    for one in ranges:
        todo.put(one)
    found: queue.Queue[list[Object] | BaseException | None] = queue.Queue(4 * threads)
    stop = threading.Event()

    def put(value: list[Object] | BaseException | None) -> None:
        while not stop.is_set():
            try:
                found.put(value, timeout=0.1)
                return
            except queue.Full:
                pass

    def work() -> None:
        try:
            while not stop.is_set():
                try:
                    after, until = todo.get_nowait()
                except queue.Empty:
                    break
                for part in _range(lister, prefix, after, until):
                    put(part)
                    if stop.is_set():
                        return
            put(None)
        except BaseException as error:  # raised again by the reader
            put(error)

    workers = [
        threading.Thread(target=work, name="list", daemon=True) for _ in range(min(threads, len(ranges)))
    ]
    for worker in workers:
        worker.start()
    ended = 0
    try:
        while ended < len(workers):
            part = found.get()
            if part is None:
                ended += 1
            elif isinstance(part, BaseException):
                raise part
            else:
                yield part
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _range(lister: Lister, prefix: str, after: str, until: str | None) -> Iterator[list[Object]]:
    """The pages of the keys after one up to another, which is included."""
    start, following = after, None
    while True:
        page = lister.page(prefix, after=start, following=following)
        objects = page.objects
        if objects:
            keys = [one.key for one in objects]
            if keys[0] <= after or any(map(operator.gt, keys, keys[1:])):
                raise SourceUnreadableError(
                    f"the store of {prefix!r} doesn't list its keys in their order ({keys[0]!r} after {after!r}), as "
                    "S3 directory buckets do: copy the data to a general purpose bucket"
                )
            after = keys[-1]
            if until is not None and after > until:
                yield objects[: bisect.bisect_right(keys, until)]
                return
            yield objects
        following = page.following
        if following is None:
            return


def _borders(lister: Lister, prefix: str) -> list[str]:
    """Keys that divide the listing into ranges of folders; none where it is short or has no folders."""
    for _ in range(_DEPTH):
        page = lister.page(prefix, folded=True)
        if page.following is None and len(page.folders) == 1 and not page.objects:
            prefix = page.folders[0]
            continue
        folders = sorted(page.folders)
        if len(folders) < 2:
            return []
        step = -(-len(folders) // _MOST_RANGES)
        return folders[step::step]
    return []
