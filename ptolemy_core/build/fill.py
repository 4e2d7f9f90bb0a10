"""The fill: every block of a layout read, hashed and put in its place, by any number of threads.

A CAR is cut into units, aligned byte ranges whose piece commitment is a subtree of its own. A thread
assembles a whole unit from the sources: it reads, hashes leaves, writes headers. What a unit lacks then are
nodes; they follow as soon as all below them is hashed, and the unit that a last node completes is closed.
So the bytes don't depend on the number of threads or the order they run in.
"""

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import cid, kernel, varint
from ptolemy_core.build import nodes
from ptolemy_core.build.source import Source
from ptolemy_core.dag import unixfs
from ptolemy_core.layout import HEADER_SIZE, Block, Layout

UNIT = 127 << 16
"""Bytes of a unit: 8 MiB less an eighth of a 64th; a multiple of 4096 and a whole commitment subtree."""

CloseUnit = Callable[[int, memoryview], None]
"""Takes a finished unit: its number and bytes (valid during the call)."""


@dataclass(slots=True)
class _Unit:
    """A unit under assembly: its bytes, and how many nodes it still waits for."""

    number: int
    data: bytearray
    digests: list[tuple[int, NDArray[np.uint8]]]
    waits_for: int = 0


@dataclass(slots=True)
class _State:
    stop: threading.Event = field(default_factory=threading.Event)


def fill(
    layout: Layout,
    source: Source,
    close: CloseUnit,
    *,
    threads: int = 2,
    unit: int = UNIT,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Produce every unit of the CAR once, complete, by calling `close`, from threads and in no set order.

    Args:
        layout: of the CAR.
        source: of its items.
        close: takes each finished unit.
        threads: that read and hash at once.
        unit: bytes of a unit, 127 * 2**k.
        progress: called with the bytes of CAR assembled since the last call.

    Returns:
        the sha2-256 digest of every block, a row each; row 0 is the payload CID's.

    Memory: a unit (8 MiB) for each of 2 * `threads` + open nodes' units; about 120 bytes a block.

    Raises:
        SourceError: a source isn't what the scan saw.
        OSError: as `close` does.
    """
    digests = np.zeros((len(layout), 32), dtype=np.uint8)
    tree = nodes.Nodes(layout, digests)
    assembler = _Assembler(layout, source, unit)
    waits = _waits(layout, tree.places, unit)
    open_units: dict[int, _Unit] = {}
    state = _State()
    pending = deque(tree.completion())
    total_units = -(-layout.car_size // unit)

    with _pool(threads, state) as pool:
        running: deque[Future[_Unit]] = deque()
        closing: deque[Future[None]] = deque()

        def finish(done: _Unit) -> None:
            closing.append(pool.submit(close, done.number, memoryview(done.data)))
            while len(closing) > 2 * threads:
                closing.popleft().result()

        following = 0
        for number in range(total_units):
            while following < total_units and len(running) < threads + 1:
                running.append(pool.submit(assembler.assemble, following, state.stop))
                following += 1
            done = running.popleft().result()
            for first, rows in done.digests:
                digests[first : first + len(rows)] = rows
            done.waits_for = int(waits[number])
            if done.waits_for:
                open_units[number] = done
            else:
                finish(done)
            if number == 0 and not tree.is_node(0):
                # a root without children (one small file, a link): its CAR waits for its header alone
                for complete in _place(open_units, [(0, tree.header(digests[0].tobytes()))], unit):
                    finish(open_units.pop(complete))
            frontier = assembler.blocks_before((number + 1) * unit)
            while pending and pending[0][0] <= frontier:
                _, node = pending.popleft()
                for complete in _place_node(layout, tree, node, open_units, unit):
                    finish(open_units.pop(complete))
            if progress:
                progress(len(done.data))
        for left in closing:
            left.result()
    return digests


@contextmanager
def _pool(threads: int, state: _State) -> Iterator[ThreadPoolExecutor]:
    """A pool whose tasks end soon when the caller fails or is cancelled."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fill")
    try:
        yield pool
    except BaseException:
        state.stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _spans(layout: Layout, places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last byte of the sections of these blocks."""
    first = layout.offset[places]
    size = layout.size[places] + cid.SIZE
    return first, first + varint.lengths(size) + size - 1


def _waits(layout: Layout, places: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """How many nodes each unit waits for; the CAR's header, which waits for the root, counts as one."""
    waits = np.zeros(-(-layout.car_size // unit) + 1, dtype=np.int64)
    first, last = _spans(layout, places)
    np.add.at(waits, first // unit, 1)
    np.add.at(waits, last // unit + 1, -1)
    waits[0] += 1
    waits[(HEADER_SIZE - 1) // unit + 1] -= 1
    return np.cumsum(waits)[:-1]


def _place_node(
    layout: Layout, tree: nodes.Nodes, node: int, open_units: dict[int, _Unit], unit: int
) -> list[int]:
    """Encode a node, put its section into the units that hold it; returns those that are complete now."""
    block = tree.block(node)
    if len(block) != layout.size[node]:
        raise AssertionError(f"block {node}: {len(block)} bytes, laid out as {layout.size[node]}")
    digest = tree.set_digest(node, block)
    parts = [(int(layout.offset[node]), nodes.section(cid.of_digest(cid.DAG_PB, digest), block))]
    if node == 0:
        parts.append((0, tree.header(digest)))
    return _place(open_units, parts, unit)


def _place(open_units: dict[int, _Unit], parts: list[tuple[int, bytes]], unit: int) -> list[int]:
    """Copy bytes to their offsets of the CAR; returns the units that wait for nothing more."""
    complete = []
    for offset, data in parts:
        for number in range(offset // unit, (offset + len(data) - 1) // unit + 1):
            target = open_units[number]
            _copy_in(target.data, offset - number * unit, data)
            target.waits_for -= 1
            if not target.waits_for:
                complete.append(number)
    return complete


def _copy_in(buffer: bytearray | memoryview, at: int, data: bytes | memoryview) -> None:
    """Copy `data` to offset `at` of the buffer, what lies outside of it cut off."""
    low, high = max(0, -at), min(len(data), len(buffer) - at)
    if high > low:
        buffer[at + low : at + high] = data[low:high]


class _Assembler:
    """Makes units: all they hold but nodes."""

    def __init__(self, layout: Layout, source: Source, unit: int) -> None:
        self._layout = layout
        self._source = source
        self._unit = unit

    def blocks_before(self, offset: int) -> int:
        """How many blocks lie before this offset of the CAR as a whole."""
        begun = int(np.searchsorted(self._layout.offset, offset, side="left"))
        if begun < len(self._layout):
            return begun - (begun > 0 and int(self._layout.offset[begun]) > offset)
        return begun - (self._layout.car_size > offset)

    def assemble(self, number: int, stop: threading.Event) -> _Unit:
        """Read and hash what belongs to unit `number`.

        Raises:
            SourceError: a source isn't what the scan saw.
        """
        layout = self._layout
        low = number * self._unit
        high = min(low + self._unit, layout.car_size)
        first = max(0, int(np.searchsorted(layout.offset, low, side="right")) - 1)
        last = int(np.searchsorted(layout.offset, high, side="left"))
        data = bytearray(high - low)
        view = memoryview(data)
        out = _Unit(number, data, [])
        blocks = slice(first, last)
        kinds = layout.kind[blocks].tolist()
        sizes = layout.size[blocks].tolist()
        places = (layout.offset[blocks] - low).tolist()
        items = layout.item[blocks].tolist()
        starts = layout.start[blocks].tolist()
        inside: list[int] = []
        at: list[int] = []
        for k, kind in enumerate(kinds):
            if stop.is_set():
                break
            size, place = sizes[k], places[k]
            head = cid.SIZE + varint.length(cid.SIZE + size)
            begin = place + head
            if kind == Block.LEAF:
                if place >= 0 and begin + size <= len(data):
                    self._source.read_into(items[k], starts[k], view[begin : begin + size])
                    inside.append(k)
                    at.append(begin)
                elif begin <= 0:
                    # its header, and so its digest, belong to the unit before
                    part = view[0 : min(begin + size, len(data))]
                    self._source.read_into(items[k], starts[k] - begin, part)
                else:
                    self._straddle(out, first + k, items[k], starts[k], size, place)
            elif kind == Block.SYMLINK:
                self._source.check_whole(items[k])
                block = unixfs.symlink_block(self._source.targets[items[k]])
                digest = kernel.sha256_ranges(block, np.zeros(1, np.int64), np.array([len(block)]))
                binary = cid.of_digest(cid.DAG_PB, digest.tobytes())
                _copy_in(view, place, nodes.section(binary, block))
                out.digests.append((first + k, digest))
            elif kind == Block.DIRECTORY and items[k] >= 0 and place >= 0:
                self._source.check_whole(items[k])
        self._hash_inside(out, first, np.array(inside, dtype=np.int64), at, sizes)
        return out

    def _hash_inside(
        self, out: _Unit, first: int, inside: NDArray[np.int64], at: list[int], sizes: list[int]
    ) -> None:
        """Hash the leaves that lie in the unit as a whole, and write their headers."""
        if not len(inside):
            return
        lengths = [sizes[k] for k in inside.tolist()]
        rows = kernel.sha256_ranges(out.data, np.array(at, dtype=np.int64), np.array(lengths, dtype=np.int64))
        raw = rows.tobytes()
        data = out.data
        for j, (begin, size) in enumerate(zip(at, lengths, strict=True)):
            head = varint.encode(cid.SIZE + size) + cid.RAW_PREFIX
            data[begin - 32 - len(head) : begin] = head + raw[32 * j : 32 * j + 32]
        # neighbours go into the table together
        cuts = np.flatnonzero(np.diff(inside) != 1) + 1
        edges = [0, *cuts.tolist(), len(inside)]
        for low, high in itertools.pairwise(edges):
            out.digests.append((first + int(inside[low]), rows[low:high]))

    def _straddle(self, out: _Unit, block: int, item: int, start: int, size: int, place: int) -> None:
        """A leaf that goes over an edge of the unit together with (part of) its header."""
        whole = bytearray(size)
        self._source.read_into(item, start, memoryview(whole))
        digest = kernel.sha256_ranges(whole, np.zeros(1, np.int64), np.array([size], dtype=np.int64))
        _copy_in(out.data, place, nodes.section(cid.of_digest(cid.RAW, digest.tobytes()), bytes(whole)))
        out.digests.append((block, digest))
