"""The outline of a CAR, opened: what every block is and its digest, without the blocks.

With it and the source, any byte range of the CAR can be generated: `generate`. The format: `outline_file`.
Only what is needed is read, and each part is checked when it is read: damage gives an error and never a wrong byte.
The bytes are a file's, or come from elsewhere: `outline_bytes`.
"""

import hashlib
import zlib
from bisect import bisect_right
from functools import lru_cache
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car.outline_bytes import FileBytes, OutlineBytes, unreadable
from ptolemy_core.car.outline_file import CHUNK, HEADER_SIZE, PAGE, Header, checksum, damaged
from ptolemy_core.car.outline_page import Page, Rows, Start
from ptolemy_core.dag import cid
from ptolemy_core.errors import OutlineError

WINDOW = 1 << 20
"""Bytes of a window, about: see `outline_page.cut_windows`."""

_PAGES = 8
_CHUNKS = 16
"""Pages and chunks of digests that are kept: up to 2 MB a page of many large shards, 100 KB of small files."""

_INDEX_LIMIT = 1 << 30


class Outline:
    """An open outline. Any thread may use it.

    Args:
        place: path of its file; or its bytes, which are closed with it.

    Attributes:
        name: its path, or whatever else names it in messages.
        header: its header: the CAR's size, payload CID, and so on.

    Raises:
        OutlineError: it isn't an outline, or is damaged, or of another version, or can't be read.
    """

    def __init__(self, place: str | OutlineBytes) -> None:
        self._bytes = FileBytes(place) if isinstance(place, str) else place
        self.name = self._bytes.name
        try:
            self.header = Header.decode(self._bytes.read(0, HEADER_SIZE), self.name)
            self._check_size(self._bytes.size)
            index = self._bytes.read(self.header.index_at, self.header.size - self.header.index_at)
            if hashlib.sha256(index).digest() != self.header.index_digest:
                raise damaged(self.name, "its index")
        except BaseException:
            self.close()
            raise
        self._pages = np.frombuffer(index, PAGE, self.header.pages)
        self._checksums = index[self.header.pages * PAGE.itemsize :]
        self._starts: list[int] = self._pages["offset"].tolist()
        self.page = lru_cache(maxsize=_PAGES)(self._page)
        self._chunk = lru_cache(maxsize=_CHUNKS)(self._load_chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its bytes; nothing may be read any more."""
        self._bytes.close()

    def page_at(self, offset: int) -> Page:
        """The page of the block whose section holds the CAR's byte `offset`, which lies after the CAR's header.

        Raises:
            OutlineError: the outline is damaged, or can't be read.
        """
        return self.page(bisect_right(self._starts, offset) - 1)

    def last_page_start(self, offset: int) -> int:
        """Where the last page begins that begins at an offset or before; the CAR's size where that isn't inside."""
        if offset >= self.header.car_size:
            return self.header.car_size
        return self._starts[bisect_right(self._starts, offset) - 1]

    def digests(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The digests at these places, a row each.

        Raises:
            OutlineError: the outline is damaged, or can't be read.
        """
        out = np.empty((len(places), 32), dtype=np.uint8)
        chunks = places // CHUNK
        for number in np.unique(chunks).tolist():
            here = chunks == number
            out[here] = self._chunk(number)[places[here] - number * CHUNK]
        return out

    def check(self) -> None:
        """Read all of it.

        Raises:
            OutlineError: some of it is damaged, or can't be read.
        """
        for number in range(self.header.pages):
            self._page(number)
        for number in range(self.header.chunks):
            self._load_chunk(number)

    def _page(self, number: int) -> Page:
        entry = self._pages[number]
        first, header = int(entry["block"]), self.header
        start = Start(first, int(entry["offset"]), int(entry["leaf"]), header.blocks - header.leaves)
        data = self._checked(
            int(entry["at"]), int(entry["length"]), entry["checksum"].tobytes(), f"page {number}"
        )
        try:
            page = Page.of(Rows.decode(data), start, header.profile, WINDOW)
        except (ValueError, zlib.error) as error:
            raise OutlineError(f"page {number} of the outline {self.name} can't be read: {error}") from error
        last = number + 1 == len(self._pages)
        end = self.header.car_size if last else self._starts[number + 1]
        blocks = self.header.blocks if last else int(self._pages["block"][number + 1])
        if page.offset[-1] != end or first + len(page) != blocks:
            raise OutlineError(f"page {number} of the outline {self.name} doesn't lead to the next page")
        return page

    def _load_chunk(self, number: int) -> NDArray[np.uint8]:
        first = number * CHUNK
        count = min(CHUNK, self.header.blocks - first)
        expected = self._checksums[16 * number : 16 * number + 16]
        data = self._checked(HEADER_SIZE + first * 32, count * 32, expected, f"its part {number} of digests")
        return np.frombuffer(data, np.uint8).reshape(count, 32)

    def _checked(self, at: int, size: int, expected: bytes, what: str) -> bytes:
        data = self._bytes.read(at, size)
        if len(data) < size:
            raise unreadable(self.name, "it ends too early")
        if checksum(data) != expected:
            raise damaged(self.name, what)
        return data

    def _check_size(self, size: int) -> None:
        header = self.header
        index = header.size - header.index_at
        if size != header.size:
            raise OutlineError(
                f"the outline {self.name} has {size} bytes, {header.size} were written: rebuild it from the source"
            )
        if index != header.pages * PAGE.itemsize + header.chunks * 16 or not 0 <= index <= _INDEX_LIMIT:
            raise OutlineError(f"the header of the outline {self.name} contradicts itself")

    def __repr__(self) -> str:
        return f"<Outline {self.name} of {cid.to_text(self.header.payload_cid)}>"
