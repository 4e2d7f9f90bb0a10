"""The fill: every block of a layout read, hashed and put in its place, by any number of threads.

A CAR is cut into units, aligned byte ranges whose piece commitment is a subtree of its own. A thread
assembles a whole unit from the sources: it reads, hashes leaves, writes headers. What a unit lacks then are
nodes; they follow as soon as all below them is hashed, and the unit that a last node completes is closed.
So the bytes don't depend on the number of threads or the order they run in.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import cid, varint
from ptolemy_core.build import nodes
from ptolemy_core.build.assemble import Assembler, Unit
from ptolemy_core.build.source import Source
from ptolemy_core.layout import HEADER_SIZE, Layout

UNIT = 127 << 17
"""Bytes of a unit, 15.9 MiB: a whole commitment subtree, whole pages, and leaves for 16 hash lanes."""

CloseUnit = Callable[[int, memoryview], None]
"""Takes a finished unit: its number and its bytes, valid during the call, at a page-aligned address."""


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

    Memory: a unit for each thread and a few more (about 16 MiB each); one for each open node that begins in
    another unit than the one before it; about 150 bytes a block.

    Raises:
        SourceError: a source isn't what the scan saw.
        OSError: as `close` does.
    """
    digests = np.zeros((len(layout), 32), dtype=np.uint8)
    tree = nodes.Nodes(layout, digests)
    assembler = Assembler(layout, source, unit)
    waits = _waits(layout, tree.places, unit)
    open_units: dict[int, Unit] = {}
    stop = threading.Event()
    pending = deque(tree.completion())
    total_units = -(-layout.car_size // unit)

    with _pool(threads, stop) as pool:
        running: deque[Future[Unit]] = deque()
        closing: deque[Future[None]] = deque()

        def finish(done: Unit) -> None:
            closing.append(pool.submit(_close, close, done, assembler))
            while len(closing) > 2 * threads:
                closing.popleft().result()

        following = 0
        for number in range(total_units):
            while following < total_units and len(running) < threads + 1:
                running.append(pool.submit(assembler.assemble, following, stop))
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
                progress(done.size)
        for left in closing:
            left.result()
    return digests


def _close(close: CloseUnit, unit: Unit, assembler: Assembler) -> None:
    view = memoryview(unit.buffer)
    try:
        close(unit.number, view[: unit.size])
    finally:
        view.release()
        assembler.buffers.give(unit.buffer)


@contextmanager
def _pool(threads: int, stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """A pool whose tasks end soon when the caller fails or is cancelled."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fill")
    try:
        yield pool
    except BaseException:
        stop.set()
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
    layout: Layout, tree: nodes.Nodes, node: int, open_units: dict[int, Unit], unit: int
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


def _place(open_units: dict[int, Unit], parts: list[tuple[int, bytes]], unit: int) -> list[int]:
    """Copy bytes to their offsets of the CAR; returns the units that wait for nothing more."""
    complete = []
    for offset, data in parts:
        for number in range(offset // unit, (offset + len(data) - 1) // unit + 1):
            target = open_units[number]
            target.copy_in(offset - number * unit, data)
            target.waits_for -= 1
            if not target.waits_for:
                complete.append(number)
    return complete
