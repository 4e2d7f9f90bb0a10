"""Assembling a unit of a CAR: all of its bytes except nodes, from the sources."""

import itertools
import mmap
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.car import nodes
from ptolemy_core.dag import cid, unixfs, varint
from ptolemy_core.kernel.encode import Sections, copy_pieces, put_leaf_heads
from ptolemy_core.layout import Block, Layout
from ptolemy_core.source import Inputs
from ptolemy_core.source.buffers import Buffers

_HEAD = 2 * cid.SIZE
"""Upper bound of a section's bytes before its block."""

_SMALL_BATCH = 1024
"""Small files read in one call; cancellation is checked between calls."""


@dataclass(slots=True)
class Unit:
    """A unit under assembly.

    Attributes:
        number: the unit's first byte is byte `number * unit` of the CAR.
        buffer: its bytes, followed by the part of the last block beyond its end.
        size: bytes of the unit.
        digests: rows of digests, each with the index of the first row's block.
    """

    number: int
    buffer: mmap.mmap
    size: int
    digests: list[tuple[int, NDArray[np.uint8]]]

    def copy_in(self, at: int, data: bytes) -> None:
        """Copy the part of `data`, which starts at offset `at`, that is inside the unit."""
        self.copy_sections(np.array([at], dtype=np.int64), Sections.of([data]))

    def copy_sections(self, places: NDArray[np.int64], sections: Sections) -> None:
        """Copy the parts of sections, which start at these offsets, that are inside the unit."""
        copy_pieces(self.buffer, self.size, places, sections)


class Assembler:
    """Assembles units: everything except nodes. Thread-safe."""

    def __init__(self, layout: Layout, inputs: Inputs, unit: int) -> None:
        """Assemble units of `unit` bytes."""
        self._layout = layout
        self._inputs = inputs
        self._unit = unit
        leaves = layout.size[layout.kind == Block.LEAF]
        # a leaf that starts in a unit is read and hashed there completely, even beyond the unit's end
        self.buffers = Buffers(unit + _HEAD + int(leaves.max(initial=0)))

    def blocks_before(self, offset: int) -> int:
        """The number of blocks that end before this offset of the CAR."""
        started = int(np.searchsorted(self._layout.offset, offset, side="left"))
        if started < len(self._layout):
            return started - (started > 0 and int(self._layout.offset[started]) > offset)
        return started - (self._layout.car_size > offset)

    def assemble(self, number: int, stop: threading.Event) -> Unit:
        """Read and hash the content of unit `number`; returns early, incomplete, once `stop` is set.

        Raises:
            SourceError: a source isn't what the scan saw.
        """
        layout = self._layout
        low = number * self._unit
        high = min(low + self._unit, layout.car_size)
        first = max(0, int(np.searchsorted(layout.offset, low, side="right")) - 1)
        blocks = slice(first, int(np.searchsorted(layout.offset, high, side="left")))
        out = Unit(number, self.buffers.take(), high - low, [])
        sections = layout.offset[blocks] - low
        data = sections + cid.SIZE + varint.lengths(layout.size[blocks].astype(np.int64) + cid.SIZE)
        kinds = layout.kind[blocks]
        leaves = np.flatnonzero(kinds == Block.LEAF)
        starts_here = sections[leaves] >= 0
        self._read_leaves(out, first, leaves, data, starts_here, stop)
        self._hash_leaves(out, first, leaves[starts_here], data)
        if len(kinds) and kinds[0] == Block.LEAF and sections[0] < 0 < data[0]:
            self._copy_split_head(out, first, int(sections[0]))
        for k in np.flatnonzero(kinds == Block.SYMLINK).tolist():
            if stop.is_set():
                return out
            self._link(out, first + k, int(sections[k]))
        empty = (kinds == Block.DIRECTORY) & (layout.item[blocks] >= 0) & (sections >= 0)
        for k in np.flatnonzero(empty).tolist():
            if stop.is_set():
                return out
            self._inputs.check(int(layout.item[first + k]))
        return out

    def _read_leaves(
        self,
        out: Unit,
        first: int,
        leaves: NDArray[np.int64],
        data: NDArray[np.int64],
        starts_here: NDArray[np.bool_],
        stop: threading.Event,
    ) -> None:
        """Read the leaves into the unit: many small files in one call, consecutive leaves of a file in one read.

        `data` has each block's offset in the unit; `starts_here` says which leaves' sections start in this unit.
        """
        if not len(leaves):
            return
        layout = self._layout
        items = layout.item[first + leaves].astype(np.int64)
        done = np.zeros(len(items), dtype=np.bool_)
        one_leaf = self._inputs.items.sizes[items] == layout.size[first + leaves]
        small = np.flatnonzero(one_leaf & starts_here)
        for low in range(0, len(small), _SMALL_BATCH):
            if stop.is_set():
                return
            some = small[low : low + _SMALL_BATCH]
            done[some] = self._inputs.read_small(items[some], out.buffer, data[leaves[some]])
        rest = leaves[~done]
        if len(rest):
            self._read_one_by_one(out, first, rest, data, stop)

    def _read_one_by_one(
        self,
        out: Unit,
        first: int,
        leaves: NDArray[np.int64],
        data: NDArray[np.int64],
        stop: threading.Event,
    ) -> None:
        """Read these leaves into the unit, consecutive ones of a file in one read."""
        layout = self._layout
        items = layout.item[first + leaves].tolist()
        starts = layout.start[first + leaves].tolist()
        sizes = layout.size[first + leaves].tolist()
        at = data[leaves].tolist()
        if at[0] < 0:  # started in the previous unit: only the part in this one
            starts[0] -= at[0]
            sizes[0] = min(max(0, sizes[0] + at[0]), out.size)
            at[0] = 0
        view = memoryview(out.buffer)
        k = 0
        while k < len(items) and not stop.is_set():
            j = k + 1
            while j < len(items) and items[j] == items[k]:
                j += 1
            self._inputs.read_into(items[k], starts[k], [view[at[i] : at[i] + sizes[i]] for i in range(k, j)])
            k = j

    def _hash_leaves(self, out: Unit, first: int, own: NDArray[np.int64], data: NDArray[np.int64]) -> None:
        """Hash the leaves that start in the unit, and write their section heads (length and CID)."""
        if not len(own):
            return
        sizes = self._layout.size[first + own].astype(np.int64)
        rows = kernel.sha256_ranges(out.buffer, data[own], sizes)
        put_leaf_heads(out.buffer, data[own], sizes, rows)
        # consecutive blocks become one run of digests
        edges = [0, *(np.flatnonzero(np.diff(own) != 1) + 1).tolist(), len(own)]
        for low, high in itertools.pairwise(edges):
            out.digests.append((first + int(own[low]), rows[low:high]))

    def _copy_split_head(self, out: Unit, block: int, at: int) -> None:
        """Write the rest of a section head cut by the unit's start: its leaf is read and hashed a second time."""
        layout = self._layout
        whole = bytearray(int(layout.size[block]))
        self._inputs.read_into(int(layout.item[block]), int(layout.start[block]), [memoryview(whole)])
        digest = kernel.sha256_ranges(whole, np.zeros(1, np.int64), np.array([len(whole)], np.int64))
        out.copy_in(at, nodes.section(cid.of_digest(cid.RAW, digest.tobytes()), bytes(whole)))

    def _link(self, out: Unit, block: int, at: int) -> None:
        """Write a symbolic link's section."""
        item = int(self._layout.item[block])
        data = unixfs.symlink_block(self._inputs.link(item))
        digest = kernel.sha256_ranges(data, np.zeros(1, np.int64), np.array([len(data)], np.int64))
        out.copy_in(at, nodes.section(cid.of_digest(cid.DAG_PB, digest.tobytes()), data))
        out.digests.append((block, digest))
