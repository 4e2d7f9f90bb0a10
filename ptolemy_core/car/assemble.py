"""Assembling a unit of a CAR: all of its bytes but nodes, from the sources."""

import itertools
import mmap
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.car import nodes
from ptolemy_core.dag import cid, unixfs, varint
from ptolemy_core.layout import Block, Layout
from ptolemy_core.source import Inputs
from ptolemy_core.source.buffers import Buffers

_HEAD = 2 * cid.SIZE
"""More than the bytes of a section before its block."""

_SMALL_AT_ONCE = 1024
"""Small files read in one call, after which it is seen whether the fill was given up."""


@dataclass(slots=True)
class Unit:
    """A unit under assembly.

    Attributes:
        number: the unit holds the CAR's bytes from `number * unit`.
        buffer: holds its bytes first, then whatever the last block has over its end.
        size: bytes of the unit.
        digests: rows of digests, each with the block that the first row is of.
    """

    number: int
    buffer: mmap.mmap
    size: int
    digests: list[tuple[int, NDArray[np.uint8]]]

    def copy_in(self, at: int, data: bytes) -> None:
        """Copy `data` to offset `at`, what lies outside the unit cut off."""
        low, high = max(0, -at), min(len(data), self.size - at)
        if high > low:
            self.buffer[at + low : at + high] = data[low:high]


class Assembler:
    """Makes units: all they hold but nodes. Threads may share it."""

    def __init__(self, layout: Layout, inputs: Inputs, unit: int) -> None:
        """Assemble units of `unit` bytes."""
        self._layout = layout
        self._inputs = inputs
        self._unit = unit
        leaves = layout.size[layout.kind == Block.LEAF]
        # a leaf that begins in a unit is read and hashed there as a whole, also over its end
        self.buffers = Buffers(unit + _HEAD + int(leaves.max(initial=0)))

    def blocks_before(self, offset: int) -> int:
        """How many blocks lie before this offset of the CAR as a whole."""
        begun = int(np.searchsorted(self._layout.offset, offset, side="left"))
        if begun < len(self._layout):
            return begun - (begun > 0 and int(self._layout.offset[begun]) > offset)
        return begun - (self._layout.car_size > offset)

    def assemble(self, number: int, stop: threading.Event) -> Unit:
        """Read and hash what belongs to unit `number`; soon nothing more once `stop` is set.

        Raises:
            SourceError: a source isn't what the scan saw.
        """
        layout = self._layout
        low = number * self._unit
        high = min(low + self._unit, layout.car_size)
        first = max(0, int(np.searchsorted(layout.offset, low, side="right")) - 1)
        blocks = slice(first, int(np.searchsorted(layout.offset, high, side="left")))
        out = Unit(number, self.buffers.take(), high - low, [])
        places = layout.offset[blocks] - low
        begins = places + cid.SIZE + varint.lengths(layout.size[blocks] + cid.SIZE)
        kinds = layout.kind[blocks]
        leaves = np.flatnonzero(kinds == Block.LEAF)
        begun = places[leaves] >= 0
        self._read_leaves(out, first, leaves, begins, begun, stop)
        self._head_leaves(out, first, leaves[begun], begins)
        if len(kinds) and kinds[0] == Block.LEAF and places[0] < 0 < begins[0]:
            self._copy_split_head(out, first, int(places[0]))
        for k in np.flatnonzero(kinds == Block.SYMLINK).tolist():
            if stop.is_set():
                return out
            self._link(out, first + k, int(places[k]))
        empty = (kinds == Block.DIRECTORY) & (layout.item[blocks] >= 0) & (places >= 0)
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
        begins: NDArray[np.int64],
        begun: NDArray[np.bool_],
        stop: threading.Event,
    ) -> None:
        """Read the leaves' bytes to their places: small files in one call, neighbours of one file at once.

        `begun` says which of the leaves have their section's first byte in this unit.
        """
        if not len(leaves):
            return
        layout, read_into = self._layout, self._inputs.read_into
        items = layout.item[first + leaves].tolist()
        starts = layout.start[first + leaves].tolist()
        sizes = layout.size[first + leaves].tolist()
        at = begins[leaves].tolist()
        if at[0] < 0:  # begun in the unit before: only what lies in this one
            starts[0] -= at[0]
            sizes[0] = max(0, sizes[0] + at[0])
            at[0] = 0
            sizes[0] = min(sizes[0], out.size)
        view = memoryview(out.buffer)
        count = len(items)
        done = np.zeros(count, dtype=np.bool_)
        one_leaf = layout.count[layout.roots[layout.item[first + leaves]]] == 1
        small = np.flatnonzero(one_leaf & begun)
        for low in range(0, len(small), _SMALL_AT_ONCE):
            if stop.is_set():
                return
            some = small[low : low + _SMALL_AT_ONCE]
            done[some] = self._inputs.read_small(
                layout.item[first + leaves[some]], out.buffer, begins[leaves[some]]
            )
        k = 0
        while k < count and not stop.is_set():
            if done[k]:
                k += 1
                continue
            j = k + 1
            while j < count and items[j] == items[k]:
                j += 1
            read_into(items[k], starts[k], [view[at[i] : at[i] + sizes[i]] for i in range(k, j)])
            k = j

    def _head_leaves(self, out: Unit, first: int, own: NDArray[np.int64], begins: NDArray[np.int64]) -> None:
        """Hash the leaves that begin in the unit, and write the heads of their sections."""
        if not len(own):
            return
        sizes = self._layout.size[first + own]
        rows = kernel.sha256_ranges(out.buffer, begins[own], sizes)
        nodes.put_leaf_heads(out.buffer, begins[own], sizes, rows)
        # neighbours go into the table together
        edges = [0, *(np.flatnonzero(np.diff(own) != 1) + 1).tolist(), len(own)]
        for low, high in itertools.pairwise(edges):
            out.digests.append((first + int(own[low]), rows[low:high]))

    def _copy_split_head(self, out: Unit, block: int, place: int) -> None:
        """A leaf whose head the unit's edge cuts: its digest is needed here too, so it is hashed once more."""
        layout = self._layout
        whole = bytearray(int(layout.size[block]))
        self._inputs.read_into(int(layout.item[block]), int(layout.start[block]), [memoryview(whole)])
        digest = kernel.sha256_ranges(whole, np.zeros(1, np.int64), np.array([len(whole)], np.int64))
        out.copy_in(place, nodes.section(cid.of_digest(cid.RAW, digest.tobytes()), bytes(whole)))

    def _link(self, out: Unit, block: int, place: int) -> None:
        """A symbolic link's block, which nothing else is needed for."""
        item = int(self._layout.item[block])
        data = unixfs.symlink_block(self._inputs.link(item))
        digest = kernel.sha256_ranges(data, np.zeros(1, np.int64), np.array([len(data)], np.int64))
        out.copy_in(place, nodes.section(cid.of_digest(cid.DAG_PB, digest.tobytes()), data))
        out.digests.append((block, digest))
