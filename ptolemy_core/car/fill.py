"""The fill: every block of a layout is read, hashed and written at its offset, by any number of threads.

A CAR is divided into units, aligned byte ranges that are each one subtree of the piece commitment. A thread assembles
a whole unit from the sources: it reads and hashes leaves and writes their section heads. A node is added as soon as
its whole subtree is hashed; a unit that has all its nodes is closed. So the bytes don't depend on the number of
threads or their order.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
from ptolemy_core.kernel.encode import Sections
from ptolemy_core.layout import HEADER_SIZE, Layout
from ptolemy_core.source import Inputs

_T = TypeVar("_T")

MAX_OPEN_UNITS = 6
"""Units kept in memory while they wait for nodes, at most."""

_LOOKAHEAD = 4
"""Units in progress per thread, at most; those beyond one per thread are closed and only wait for an earlier one."""

_NODE_BATCH = 4096
"""Nodes encoded in one call, at most."""

_POLL_SECONDS = 0.2
"""Seconds between checks for an interrupt while waiting for a unit."""

CloseUnit = Callable[[int, memoryview], None]
"""Receives a complete unit: its number and its bytes, page-aligned and valid only during the call."""


def fill(
    layout: Layout,
    inputs: Inputs,
    close: CloseUnit,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.uint8]:
    """Pass every unit of the CAR, complete, to `close` exactly once, from several threads and in any order.

    Args:
        layout: of the CAR.
        inputs: of its items.
        close: receives each complete unit.
        options: number of threads and unit size.
        progress: called with the bytes of the CAR assembled since the last call.

    Returns:
        the sha2-256 digest of every block, one per row; row 0 is that of the payload CID.

    Memory: at most 2 * `threads` + 1 + MAX_OPEN_UNITS units (270 MiB with 4 threads), and about 60 bytes per block.

    Raises:
        SourceError: a source changed since the scan.
        OSError: raised by `close`.
    """
    digests = np.zeros((len(layout), 32), dtype=np.uint8)
    tree = nodes.NodeEncoder(layout, digests)
    threads, unit = options.threads, options.unit_of(layout)
    assembler = Assembler(layout, inputs, unit)
    missing = _missing_nodes(layout, tree.nodes, unit)
    stop = threading.Event()
    with _pool(threads, stop) as pool:
        finisher = _Finisher(assembler, close, pool, threads, stop)
        placer = _Placer(layout, tree, finisher, unit)
        for number, done in enumerate(_assembled(missing, finisher, pool, threads)):
            for first, rows in done.digests:
                digests[first : first + len(rows)] = rows
            if missing[number]:
                placer.add(done, int(missing[number]))
            if number == 0 and not tree.is_node(0):
                # a root without children (one small file, a link): only the header is missing
                placer.place_header()
            placer.place_nodes(assembler.blocks_before((number + 1) * unit))
            if progress:
                progress(done.size)
        finisher.wait()
    return digests


def _assembled(
    missing: NDArray[np.int64], finisher: "_Finisher", pool: ThreadPoolExecutor, threads: int
) -> Iterator[Unit]:
    """Assemble all units in the pool; yields them in order, those that lack no nodes closed.

    A unit that is read slowly doesn't keep the next ones from being read and closed.
    """
    running: deque[tuple[int, Future[Unit]]] = deque()
    submitted = 0

    def may_start() -> bool:
        in_memory = sum(bool(missing[number]) or not unit.done() for number, unit in running)
        return not running or (
            in_memory + finisher.running() <= threads and len(running) < _LOOKAHEAD * threads
        )

    while submitted < len(missing) or running:
        while submitted < len(missing) and may_start():
            running.append((submitted, pool.submit(finisher.assemble, submitted, not missing[submitted])))
            submitted += 1
        if running[0][1].done():
            yield running.popleft()[1].result()
        else:
            wait([unit for _, unit in running if not unit.done()], _POLL_SECONDS, FIRST_COMPLETED)
            interrupts.check()


class _Finisher:
    """Closes complete units in the pool, a bounded number at a time, and returns their buffers."""

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

    def assemble(self, number: int, complete: bool) -> Unit:
        """Assemble a unit, and close it if that makes it complete; in a thread of the pool."""
        unit = self._assembler.assemble(number, self._stop)
        if complete:
            self._close_unit(unit)
        return unit

    def finish(self, unit: Unit) -> None:
        """Close a complete unit."""
        self._submit(self._close_unit, unit)

    def reassemble(self, number: int, parts: list[tuple[NDArray[np.int64], Sections]]) -> None:
        """Assemble a dropped unit a second time, copy its nodes into it, and close it."""
        self._submit(self._reassemble, number, parts)

    def drop(self, unit: Unit) -> None:
        """Return a unit's buffer."""
        self._assembler.buffers.give(unit.buffer)

    def running(self) -> int:
        """How many units are being closed."""
        while self._running and self._running[0].done():
            _result(self._running.popleft())
        return len(self._running)

    def wait(self) -> None:
        """Wait for all units; raises the first error."""
        while self._running:
            _result(self._running.popleft())

    def _submit(self, work: Callable[..., None], *arguments: object) -> None:
        self._running.append(self._pool.submit(work, *arguments))
        while len(self._running) > self._most:
            _result(self._running.popleft())

    def _reassemble(self, number: int, parts: list[tuple[NDArray[np.int64], Sections]]) -> None:
        unit = self._assembler.assemble(number, self._stop)
        for places, sections in parts:
            unit.copy_sections(places, sections)
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
class _OpenUnit:
    """A unit that still lacks `missing` nodes; its bytes (None if dropped), and the nodes placed so far."""

    unit: Unit | None
    missing: int
    parts: list[tuple[NDArray[np.int64], Sections]]


class _Placer:
    """Copies nodes into the units that lack them, as soon as a node's subtree is hashed.

    The units of the outermost folders stay open longest. If more than MAX_OPEN_UNITS are open, the oldest are dropped
    and assembled again at the end, so that deep trees need no more memory than flat ones.
    """

    def __init__(self, layout: Layout, tree: nodes.NodeEncoder, finisher: _Finisher, unit: int) -> None:
        self._layout = layout
        self._tree = tree
        self._finisher = finisher
        self._unit = unit
        self._pending = tree.completion()
        self._next = next(self._pending, None)
        self._open: dict[int, _OpenUnit] = {}

    def add(self, unit: Unit, missing: int) -> None:
        """Add an assembled unit, which lacks `missing` nodes."""
        self._open[unit.number] = _OpenUnit(unit, missing, [])
        in_memory = [waiting for waiting in self._open.values() if waiting.unit is not None]
        for waiting in in_memory[: max(0, len(in_memory) - MAX_OPEN_UNITS)]:
            if waiting.unit is not None:
                self._finisher.drop(waiting.unit)
                waiting.unit = None

    def place_nodes(self, blocks: int) -> None:
        """Place the nodes whose subtrees are within the first `blocks` blocks of the CAR."""
        complete = []
        while self._next and self._next[0] <= blocks:
            complete.append(self._next[1])
            self._next = next(self._pending, None)
        for low in range(0, len(complete), _NODE_BATCH):
            numbers = np.array(complete[low : low + _NODE_BATCH], dtype=np.int64)
            self._place(self._layout.offset[numbers], self._tree.encode(numbers))
            if numbers[-1] == 0:
                self.place_header()

    def place_header(self) -> None:
        """Place the CAR's header, once the root is hashed."""
        self._place(np.zeros(1, dtype=np.int64), Sections.of([self._tree.header()]))

    def _place(self, offsets: NDArray[np.int64], sections: Sections) -> None:
        """Copy sections to offsets of the CAR; units that lack nothing more are finished."""
        lengths = sections.ends.copy()
        lengths[1:] -= sections.ends[:-1]
        first = offsets // self._unit
        last = (offsets + lengths - 1) // self._unit
        spans = set(zip(first.tolist(), last.tolist(), strict=True))
        for number in sorted({unit for low, high in spans for unit in range(low, high + 1)}):
            rows = np.flatnonzero((first <= number) & (number <= last))
            self._place_in(number, offsets - number * self._unit, sections, rows)

    def _place_in(
        self, number: int, places: NDArray[np.int64], sections: Sections, rows: NDArray[np.int64]
    ) -> None:
        """Copy sections to these offsets of a unit, which lacks those of these rows; the others are outside of it."""
        waiting = self._open[number]
        waiting.missing -= len(rows)
        own = (places, sections)
        if len(rows) < len(places) and (waiting.missing or waiting.unit is None):
            own = (places[rows], sections.take(rows))  # these are kept
        if waiting.unit is not None:
            waiting.unit.copy_sections(*own)
        if waiting.missing:
            waiting.parts.append(own)
            return
        del self._open[number]
        if waiting.unit is not None:
            self._finisher.finish(waiting.unit)
        else:
            self._finisher.reassemble(number, [*waiting.parts, own])


def _result(future: Future[_T]) -> _T:
    """A future's result; checks for interrupts while waiting."""
    while not wait([future], _POLL_SECONDS).done:
        interrupts.check()
    return future.result()


@contextmanager
def _pool(threads: int, stop: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """A pool whose tasks end early when the caller fails or is cancelled."""
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fill")
    try:
        yield pool
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _spans(layout: Layout, blocks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last byte of the sections of these blocks."""
    first = layout.offset[blocks]
    size = layout.size[blocks].astype(np.int64) + cid.SIZE
    return first, first + varint.lengths(size) + size - 1


def _missing_nodes(layout: Layout, tree_nodes: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """How many nodes each unit lacks after assembly; the CAR's header, which needs the root, counts as one."""
    changes = np.zeros(-(-layout.car_size // unit) + 1, dtype=np.int64)
    first, last = _spans(layout, tree_nodes)
    np.add.at(changes, first // unit, 1)
    np.add.at(changes, last // unit + 1, -1)
    changes[0] += 1
    changes[(HEADER_SIZE - 1) // unit + 1] -= 1
    return np.cumsum(changes)[:-1]
