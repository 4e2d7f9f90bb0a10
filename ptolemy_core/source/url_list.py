"""A list of URLs as a source: a text or CSV file on a web server, a line for each file.

A line is a URL, or a path relative to the list's folder, and after a comma perhaps the size in bytes. Empty lines,
those that begin with # and a header `url,size` mean nothing. What is listed must be on the list's server and below
the list's folder: a file's path is its place there. Each is asked for by HEAD, and left out if it isn't as the list
says.
"""

import codecs
import csv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote

from ptolemy_core.source.key_tree import entry_of
from ptolemy_core.source.listing import Object
from ptolemy_core.source.store_client import Client
from ptolemy_core.source.store_errors import ChangedError, StoreError, retried
from ptolemy_core.urls import Location

_THREADS = 16
_AT_ONCE = 1000
_LONGEST = 1 << 16
"""Characters of a line at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """A file of the list: its key on the server, the size that the list says, and why it is left out, if so."""

    key: str
    size: int | None = None
    reason: str | None = None


class UrlList:
    """The keys that a list names; see `store_client.Keys`."""

    def __init__(self, client: Client, location: Location) -> None:
        """The list at a location, whose server the client reads from."""
        self._client = client
        self._location = location

    def objects(self, prefix: str) -> Iterator[list[Object]]:
        """All files of the list, with what the server says of them."""
        lines = self._lines()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="heads") as pool:
            while some := list(islice(lines, _AT_ONCE)):
                yield list(pool.map(self._object, some))

    def any(self, prefix: str, seconds: float | None = None) -> bool:
        """Whether the list can be read and isn't empty."""
        retried(lambda: self._client.head(self._location.path), seconds)
        return next(self._lines(), None) is not None

    def has_folder(self, key: str) -> bool:
        """Never: a list has files only."""
        return False

    def _object(self, line: Line) -> Object:
        if line.reason is not None:
            return Object(line.key, line.size or 0, 0, line.reason)
        try:
            head = retried(lambda: self._client.head(line.key))
        except StoreError as error:
            if error.temporary:
                raise
            odd = entry_of(line.key.encode("utf-8", "surrogateescape"), 1, 0).reason
            return Object(line.key, line.size or 0, 0, odd or f"the server doesn't give it ({error})")
        if line.size is not None and line.size != head.size:
            reason = f"it has {head.size} bytes, and the list says {line.size}"
            return Object(line.key, head.size, head.token, reason)
        return Object(line.key, head.size, head.token)

    def _lines(self) -> Iterator[Line]:
        folder = self._location.path.rpartition("/")[0]
        base = f"{self._location.scheme}://{self._location.place}/"
        for row in csv.reader(self._texts()):
            if not row or not row[0].strip() or row[0].lstrip().startswith("#"):
                continue
            if [field.strip().lower() for field in row[:1]] == ["url"]:
                continue
            yield _line(row, base, folder + "/" if folder else "")

    def _texts(self) -> Iterator[str]:
        """The lines of the file. It must not change while it is read."""
        path = self._location.path
        head = retried(lambda: self._client.head(path))
        decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        rest, at = "", 0
        while at < head.size:
            start = at

            def get(start: int = start) -> bytes:
                answer = self._client.get(path, start, min(start + (1 << 20), head.size))
                if answer.head != head:
                    raise ChangedError("the list changed while it was read")
                return b"".join(answer.parts())

            data = retried(get)
            at += len(data)
            *lines, rest = (rest + decoder.decode(data)).split("\n")
            if not data or len(rest) > _LONGEST:
                raise StoreError("it isn't a list of URLs: a line of it is too long")
            yield from (line.rstrip("\r") for line in lines)
        yield rest


def _line(row: list[str], base: str, folder: str) -> Line:
    """A line's file."""
    url, said = row[0].strip(), row[1].strip() if len(row) > 1 else ""
    shown = url.partition("?")[0].partition("#")[0]
    if "?" in url or "#" in url:
        return Line(
            folder + unquote(shown.removeprefix(base)), None, "its URL has a query, which may hold a token"
        )
    if "://" not in url:
        key = unquote(url[1:]) if url.startswith("/") else folder + unquote(url)
    elif url.startswith(base):
        key = unquote(url.removeprefix(base))
    else:
        return Line(folder + unquote(shown), None, f"its URL isn't on the list's server, {base}")
    if not key.startswith(folder):
        return Line(folder + key, None, f"its URL isn't below the list's folder, {base}{folder}")
    if said and not said.isdigit():
        return Line(key, None, "the size in the list isn't a number")
    return Line(key, int(said) if said else None)
