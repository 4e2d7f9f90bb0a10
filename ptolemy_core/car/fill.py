"""The fill: every block of a layout read, hashed and put in its place, by any number of threads.

A CAR is cut into units, aligned byte ranges whose piece commitment is a subtree of its own. A thread
assembles a whole unit from the sources: it reads, hashes leaves, writes headers. What a unit lacks then are
nodes; they follow as soon as all below them is hashed, and the unit that a last node completes is closed.
So the bytes don't depend on the number of threads or the order they run in.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import interrupts
from ptolemy_core.car import nodes
from ptolemy_core.car.assemble import Assembler, Unit
from ptolemy_core.car.options import DEFAULT_OPTIONS, BuildOptions
from ptolemy_core.dag import cid, varint
from ptolemy_core.layout import HEADER_SIZE, Layout
from ptolemy_core.source import Inputs

_T = TypeVar("_T")

HELD = 6
"""Units at most that are kept in memory while they wait for nodes."""

_LOOK = 0.2
"""Seconds between two looks for an interrupt while a unit is waited for."""

CloseUnit = Callable[[int, memoryview], None]
"""Takes a finished unit: its number and its bytes, valid during the call, at a page-aligned address."""


def fill(
    layout: Layout,
    inputs: Inputs,
    close: CloseUnit,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Produce every unit of the CAR once, complete, by calling `close`, from threads and in no set order.

    Args:
        layout: of the CAR.
        inputs: of its items.
        close: takes each finished unit.
        options: threads and bytes of a unit.
        progress: called with the bytes of CAR assembled since the last call.

    Returns:
        the sha2-256 digest of every block, a row each; row 0 is the payload CID's.

    Memory: at most 2 * `threads` + 1 + HELD units (240 MiB with 4 threads), and about 150 bytes a block.

    Raises:
        SourceError: a source isn't what the scan saw.
        OSError: as `close` does.
    """
    digests = np.zeros((len(layout), 32), dtype=np.uint8)
    tree = nodes.Nodes(layout, digests)
    threads, unit = options.threads, options.unit
    assembler = Assembler(layout, inputs, unit)
    waits = _waits(layout, tree.places, unit)
    stop = threading.Event()
    with _pool(threads, stop) as pool:
        finisher = _Finisher(assembler, close, pool, threads, stop)
        placer = _Placer(layout, tree, finisher, unit)
        running: deque[Future[Unit]] = deque()
        following = 0
        for number in range(len(waits)):
            while following < len(waits) and len(running) <= threads:
                running.append(pool.submit(assembler.assemble, following, stop))
                following += 1
            done = _result(running.popleft())
            for first, rows in done.digests:
                digests[first : first + len(rows)] = rows
            placer.take(done, int(waits[number]))
            if number == 0 and not tree.is_node(0):
                # a root without children (one small file, a link): its CAR waits for its header alone
                placer.place(0, tree.header(digests[0].tobytes()))
            placer.place_nodes(assembler.blocks_before((number + 1) * unit))
            if progress:
                progress(done.size)
        finisher.wait()
    return digests


class _Finisher:
    """Closes complete units in the pool, a bounded number at once, and gives their buffers back."""

    def __init__(
        self,
        assembler: Assembler,
        close: CloseUnit,
        pool: ThreadPoolExecutor,
        threads: int,
        stop: threading.Event,
    ) -> None:
        self._assembler = assembler
        self._close = close
        self._pool = pool
        self._most = threads
        self._stop = stop
        self._running: deque[Future[None]] = deque()

    def finish(self, unit: Unit) -> None:
        """Close a unit that is complete."""
        self._submit(self._close_unit, unit)

    def finish_again(self, number: int, parts: list[tuple[int, bytes]]) -> None:
        """Assemble a unit a second time, put the parts it lacked into it, and close it."""
        self._submit(self._assemble_again, number, parts)

    def drop(self, unit: Unit) -> None:
        """Give up a unit's bytes."""
        self._assembler.buffers.give(unit.buffer)

    def wait(self) -> None:
        """Wait for all; raises what one of them raised."""
        while self._running:
            _result(self._running.popleft())

    def _submit(self, work: Callable[..., None], *arguments: object) -> None:
        self._running.append(self._pool.submit(work, *arguments))
        while len(self._running) > self._most:
            _result(self._running.popleft())

    def _assemble_again(self, number: int, parts: list[tuple[int, bytes]]) -> None:
        unit = self._assembler.assemble(number, self._stop)
        for at, data in parts:
            unit.copy_in(at, data)
        self._close_unit(unit)

    def _close_unit(self, unit: Unit) -> None:
        view = memoryview(unit.buffer)
        try:
            if not self._stop.is_set():
                self._close(unit.number, view[: unit.size])
        finally:
            view.release()
            self.drop(unit)


@dataclass(slots=True)
class _Open:
    """A unit that waits for `waits_for` nodes; its bytes (None: given up), and the parts that came since."""

    unit: Unit | None
    waits_for: int
    parts: list[tuple[int, bytes]]


class _Placer:
    """Puts nodes into the units that wait for them, as soon as all below a node is hashed.

    The units of the outermost folders wait longest. Where more than HELD wait, the oldest are given up
    and assembled again at the end, so that deep trees need no more memory than flat ones.
    """

    def __init__(self, layout: Layout, tree: nodes.Nodes, finisher: _Finisher, unit: int) -> None:
        self._layout = layout
        self._tree = tree
        self._finisher = finisher
        self._unit = unit
        self._pending = deque(tree.completion())
        self._open: dict[int, _Open] = {}

    def take(self, unit: Unit, waits_for: int) -> None:
        """Take the next assembled unit."""
        if not waits_for:
            self._finisher.finish(unit)
            return
        self._open[unit.number] = _Open(unit, waits_for, [])
        held = [waiting for waiting in self._open.values() if waiting.unit is not None]
        for waiting in held[: max(0, len(held) - HELD)]:
            if waiting.unit is not None:
                self._finisher.drop(waiting.unit)
                waiting.unit = None

    def place_nodes(self, blocks: int) -> None:
        """Place the nodes whose subtrees lie within the CAR's first `blocks` blocks."""
        while self._pending and self._pending[0][0] <= blocks:
            _, node = self._pending.popleft()
            block = self._tree.block(node)
            if len(block) != self._layout.size[node]:
                raise AssertionError(
                    f"block {node}: {len(block)} bytes, laid out as {self._layout.size[node]}"
                )
            digest = self._tree.set_digest(node, block)
            section = nodes.section(cid.of_digest(cid.DAG_PB, digest), block)
            self.place(int(self._layout.offset[node]), section)
            if node == 0:
                self.place(0, self._tree.header(digest))

    def place(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset of the CAR; units that wait for nothing more are finished."""
        for number in range(offset // self._unit, (offset + len(data) - 1) // self._unit + 1):
            waiting = self._open[number]
            at = offset - number * self._unit
            waiting.parts.append((at, data))
            if waiting.unit is not None:
                waiting.unit.copy_in(at, data)
            waiting.waits_for -= 1
            if not waiting.waits_for:
                del self._open[number]
                if waiting.unit is not None:
                    self._finisher.finish(waiting.unit)
                else:
                    self._finisher.finish_again(number, waiting.parts)


def _result(future: Future[_T]) -> _T:
    """A future's result, unless an interrupt comes while it is waited for."""
    while not wait([future], _LOOK).done:
        interrupts.check()
    return future.result()


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
