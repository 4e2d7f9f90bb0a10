"""Any byte range of a CAR from its outline and the source, without the CAR.

Leaves are read from the source, and each is hashed and compared with the digest that its CAR was built with before a
byte of it is returned. Everything else, also links and empty folders, comes from the outline alone.
"""

import hashlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.car import nodes
from ptolemy_core.car import outline as outlines
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outline_page import Children, Page
from ptolemy_core.car.reading import check_range, read_bytes
from ptolemy_core.dag import cid, unixfs
from ptolemy_core.errors import OutlineError, SourceError
from ptolemy_core.kernel.encode import put_leaf_heads
from ptolemy_core.layout import HEADER_SIZE, WHOLE, Block, Items
from ptolemy_core.made_once import MadeOnce
from ptolemy_core.source import Files, Inputs, Stamps, refusals
from ptolemy_core.tree import Kind

CACHE = 16 << 20
"""Bytes of windows that a generated CAR keeps, for readers of small ranges."""

_BATCH = (16 << 20) + (64 << 10)
"""Bytes, about, that are read and hashed together: sections of leaves for 16 hash lanes."""


class GeneratedCar:
    """A CAR that is generated as it is read. Any thread may read, and several at once.

    The CAR is cut into windows of about 1 MiB (whole sections). A read puts windows that it covers directly into its
    buffer; of others it keeps the last ones, so that readers in small steps, and several of the same range, share
    the work.

    Args:
        outline: of the CAR; closed with it.
        source: that the CAR was built from.
        cache: bytes of windows to keep.
    """

    def __init__(self, outline: Outline, source: Files, *, cache: int = CACHE) -> None:
        self.outline = outline
        self._source = source
        self._header = nodes.header(outline.header.payload_cid)
        self._windows = _Windows(cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the outline."""
        self.outline.close()

    @property
    def size(self) -> int:
        """Bytes of the CAR."""
        return self.outline.header.car_size

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of the CAR; raises as `read_into` does."""
        return read_bytes(self, offset, length)

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the CAR's bytes from `offset`.

        Raises:
            SourceChangedError: a file isn't what the CAR was built from any more; the message names it.
            SourceError: a file can't be read.
            OutlineError: the outline is damaged, or can't be read.
            ValueError: the range isn't inside the CAR.
        """
        check_range(self.size, offset, len(buffer))
        end, at = offset + len(buffer), offset
        if at < HEADER_SIZE:
            part = self._header[at:end]
            buffer[: len(part)] = part
            at += len(part)
        while at < end:
            page = self.outline.page_at(at)
            at += self._read_page(page, at, buffer[at - offset :])

    def step(self, offset: int, most: int) -> int:
        """How many bytes to read from an offset on, at most so many, that no window is made for a part of it.

        Steps end at the same places wherever they began, so that several readers read the same ones.
        """
        outline = self.outline
        page = outline.page_at(max(offset, HEADER_SIZE))
        starts = page.starts
        if offset + most >= starts[-1]:
            line = (offset // most + 1) * most
            end = max(outline.last_page_start(min(offset + most, line)), starts[-1])
        else:
            each = max(1, most // outlines.WINDOW)
            grid = ((bisect_right(starts, offset) - 1) // each + 1) * each
            end = starts[min(grid, bisect_right(starts, offset + most) - 1)]
        return end - offset if end > offset else most

    def _read_page(self, page: Page, at: int, buffer: memoryview) -> int:
        """Put bytes from the CAR's offset `at` on into the buffer, as far as a batch goes; how many those were."""
        starts, windows = page.starts, page.windows
        number = bisect_right(starts, at) - 1
        if starts[number] == at:
            last = bisect_right(starts, at + min(len(buffer), _BATCH)) - 1
            if last > number:
                size = starts[last] - at
                self._generate(page, windows[number], windows[last], buffer[:size])
                return size
        low, data = self._window(page, number, at)
        part = memoryview(data)[at - low : at - low + len(buffer)]
        buffer[: len(part)] = part
        return len(part)

    def _window(self, page: Page, number: int, at: int) -> tuple[int, bytearray]:
        """A window, or if a source of it fails the section at the CAR's offset `at` alone; and where it begins."""

        def make(first: int, end: int) -> bytearray:
            made = bytearray(int(page.offset[end] - page.offset[first]))
            self._generate(page, first, end, memoryview(made))
            return made

        first, end = page.windows[number : number + 2]
        try:
            return page.starts[number], self._windows.get(page.starts[number], lambda: make(first, end))
        except SourceError:
            if end - first == 1:
                raise
        # one bad file makes no others unreadable
        block = int(np.searchsorted(page.offset, at, side="right")) - 1
        return int(page.offset[block]), make(block, block + 1)

    def _generate(self, page: Page, first: int, end: int, buffer: memoryview) -> None:
        """Put the sections of a page's blocks `first` to `end` into a buffer of exactly their size."""
        part = slice(first, end)
        digests = self.outline.digests(page.place[part])
        begins = page.data_offsets(part) - int(page.offset[first])
        kind = page.kind[part]
        for k in np.flatnonzero(kind != Block.LEAF).tolist():
            block = self._node(page, first + k)
            digest = hashlib.sha256(block).digest()
            section = nodes.section(cid.of_digest(cid.DAG_PB, digest), block)
            at = int(page.offset[first + k] - page.offset[first])
            if digest != digests[k].tobytes() or len(block) != page.size[first + k]:
                raise OutlineError(
                    f"block {page.first + first + k} that the outline {self.outline.name} describes has another "
                    "CID than the CAR was built with: rebuild the outline from the source"
                )
            buffer[at : at + len(section)] = section
        leaves = np.flatnonzero(kind == Block.LEAF)
        if len(leaves):
            try:
                self._put_leaves(page, first + leaves, begins[leaves], buffer, digests[leaves])
            except BaseException:
                np.frombuffer(buffer, dtype=np.uint8)[:] = 0  # nothing that wasn't compared gets out
                raise

    def _put_leaves(
        self,
        page: Page,
        blocks: NDArray[np.int64],
        begins: NDArray[np.int64],
        buffer: memoryview,
        digests: NDArray[np.uint8],
    ) -> None:
        """Read leaves to their places, compare them with their digests, and put their sections' heads before them."""
        rows, which = np.unique(page.row[blocks], return_inverse=True)
        inputs = self._inputs(page, rows)
        sizes = page.size[blocks]
        for _ in range(2):  # a file counts as changed only if it reads so again
            try:
                _read_leaves(inputs, which, page.start[blocks], sizes, begins, buffer)
            except SourceError as error:
                if error.item is not None:
                    error.item = int(page.rows.item[rows[error.item]])
                raise
            found = kernel.sha256_ranges(buffer, begins, sizes)
            wrong = np.flatnonzero((found != digests).any(axis=1))
            if not len(wrong):
                break
        if len(wrong):
            changed_rows = list(dict.fromkeys(page.row[blocks[wrong]].tolist()))
            changed = refusals.other_content(self._source.name(page.rows.data[changed_rows[0]]))
            changed.other_content = tuple(int(page.rows.item[row]) for row in changed_rows)
            changed.item = changed.other_content[0]
            raise changed
        put_leaf_heads(buffer, begins, sizes, digests)

    def _inputs(self, page: Page, rows: NDArray[np.int64]) -> Inputs:
        """The files of these rows. New for each read: a file's state may change between reads, its bytes may not."""
        table = page.rows
        items = Items(
            [table.data[k] for k in rows.tolist()],
            np.full(len(rows), Kind.FILE, dtype=np.int8),
            table.size[rows],
            table.start[rows],
            np.full(len(rows), WHOLE, dtype=np.int32),
        )
        stamps = Stamps(table.whole[rows], table.token[rows], self.outline.header.strong)
        return Inputs(self._source, items, stamps, {})

    def _node(self, page: Page, block: int) -> bytes:
        """The block of a node or link."""
        kind = int(page.kind[block])
        if kind == Block.FILE:
            below = page.children(block)
            digests = self.outline.digests(page.place[below])
            return nodes.encode_node(
                kind, digests, nodes.Links(page.kind[below], page.tsize[below], page.length[below])
            )
        data = page.rows.data[int(page.row[block])]
        if kind == Block.SYMLINK:
            return unixfs.symlink_block(data)
        children = Children.decode(data, int(page.place[block]))
        digests = self.outline.digests(children.places)
        links = nodes.Links(children.kinds, children.tsizes, names=children.names)
        return nodes.encode_node(kind, digests, links)


def _read_leaves(
    inputs: Inputs,
    items: NDArray[np.int64],
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    begins: NDArray[np.int64],
    buffer: memoryview,
) -> None:
    """Read the leaves of items to their places: whole small files in one call, neighbours of one file at once."""
    whole = sizes == inputs.items.sizes[items]
    done = np.zeros(len(items), dtype=np.bool_)
    done[whole] = inputs.read_small(items[whole], buffer, begins[whole])
    left = np.flatnonzero(~done)
    for run in np.split(left, np.flatnonzero(np.diff(items[left])) + 1) if len(left) else []:
        # leaves of one file in a row are neighbours in it too: none of its leaves is left out between two
        parts = [buffer[b : b + s] for b, s in zip(begins[run].tolist(), sizes[run].tolist(), strict=True)]
        inputs.read_into(int(items[run[0]]), int(starts[run[0]]), parts)


class _Windows:
    """The last windows, by the offset of each. One that several threads want is made once."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._made: OrderedDict[int, bytearray] = OrderedDict()
        self._size = 0
        self._once = MadeOnce()

    def get(self, offset: int, make: Callable[[], bytearray]) -> bytearray:
        """The window at an offset; made if it isn't there. Raises what `make` does."""
        return self._once.get(offset, lambda: self._find(offset), make, lambda made: self._keep(offset, made))

    def _find(self, offset: int) -> bytearray | None:
        found = self._made.get(offset)
        if found is not None:
            self._made.move_to_end(offset)
        return found

    def _keep(self, offset: int, made: bytearray) -> None:
        self._made[offset] = made
        self._size += len(made)
        while self._size > self._limit and len(self._made) > 1:
            self._size -= len(self._made.popitem(last=False)[1])
