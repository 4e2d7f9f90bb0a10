"""Encoding nodes of a layout, from their numbers alone, in one call of the compiled kernel.

It gathers their links and names from the layout's columns, so there is no object for a link.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, varint
from ptolemy_core.kernel import variant
from ptolemy_core.kernel.blocks import compiled
from ptolemy_core.kernel.encode import SLACK, Column, Sections
from ptolemy_core.tree.packed import PackedPaths

_SMALLEST_LINK = 44
"""Bytes that a link takes in its node, at least."""

_HEAD = cid.SIZE + varint.length(1 << 31)
"""Bytes before a node in its section, at most."""


@dataclass(frozen=True, slots=True)
class NodeTable:
    """The blocks of a layout in depth-first pre-order.

    Attributes:
        kinds, sizes: of all blocks, `Block` and bytes.
        at: the blocks that aren't leaves, in order.
        counts, tsizes, lengths: of the subtree of each: blocks, bytes, bytes of file data.
        bases, extra: first blocks of the files of more than one leaf, in order, and how many more each has.
        names: of the links to blocks that have one, in the order of these blocks.
    """

    kinds: NDArray[np.int8]
    sizes: NDArray[np.int32]
    at: Column
    counts: Column
    tsizes: Column
    lengths: Column
    bases: Column
    extra: Column
    names: PackedPaths


class _Layout(ctypes.Structure):
    """`struct layout` of native/links.c, with the `struct names` at its end."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("blocks", "nodes", "larges")),
        *((name, ctypes.c_void_p) for name in ("kinds", "sizes")),
        *((name, ctypes.c_void_p) for name in ("at", "counts", "tsizes", "lengths", "bases", "before")),
        ("pages", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("firsts", "names", "ends")),
    )


class _Links(ctypes.Structure):
    """`struct links` of native/links.c."""

    _fields_ = (
        ("room", ctypes.c_int64),
        ("bytes", ctypes.c_int64),
        *(
            (name, ctypes.c_void_p)
            for name in ("targets", "tsizes", "lengths", "name_ends", "kinds", "names")
        ),
    )


class NodeSections:
    """Encodes nodes of a layout, from their numbers alone. Not thread-safe: it reuses its memory."""

    def __init__(self, table: NodeTable, digests: NDArray[np.uint8]) -> None:
        """`digests` has the sha2-256 of all blocks of the layout, a row each."""
        self._table = table
        self._digests = digests
        before = np.concatenate([[0], np.cumsum(table.extra)])
        pages = table.names.pages()
        columns: list[NDArray[Any]] = [
            np.ascontiguousarray(table.kinds, dtype=np.int8),
            np.ascontiguousarray(table.sizes, dtype=np.int32),
            *(
                np.ascontiguousarray(column, dtype=np.int64)
                for column in (table.at, table.counts, table.tsizes, table.lengths, table.bases, before)
            ),
        ]
        firsts = np.cumsum([0, *map(len, pages)])
        # addresses of what `table` keeps alive
        texts = (ctypes.c_char_p * len(pages))(*(page.names for page in pages))
        places = np.array([page.ends.buffer_info()[0] for page in pages], dtype=np.uintp)
        self._kept: tuple[Any, ...] = (columns, firsts, texts, places)
        self._layout = _Layout(
            len(columns[0]),
            len(columns[2]),
            len(table.bases),
            *(column.ctypes.data for column in columns),
            len(pages),
            firsts.ctypes.data,
            ctypes.addressof(texts),
            places.ctypes.data,
        )
        largest = int(columns[1][columns[2]].max(initial=0))
        links = np.empty((5, largest // _SMALLEST_LINK), dtype=np.int64)
        names = np.empty(largest, dtype=np.uint8)
        self._kept += (links, names)
        self._links = _Links(
            links.shape[1], largest, *(column.ctypes.data for column in links), names.ctypes.data
        )

    def encode(self, numbers: Column) -> Sections | None:
        """The sections of these nodes, children before parents; sets their digests. None without the compiled kernel.

        Raises:
            AssertionError: a node doesn't have the size that it was laid out with.
        """
        library = compiled()
        if library is None:
            return None
        wanted = np.ascontiguousarray(numbers, dtype=np.int64)
        total = int(self._table.sizes[wanted].sum(dtype=np.int64)) + len(wanted) * _HEAD
        out = np.empty(total + SLACK, dtype=np.uint8)
        ends = np.empty(len(wanted), dtype=np.int64)
        done = library.handle.ptolemy_layout_nodes(
            library.variants[variant()],
            ctypes.byref(self._layout),
            wanted.ctypes.data,
            len(wanted),
            ctypes.byref(self._links),
            self._digests.ctypes.data,
            out.ctypes.data,
            len(out),
            ends.ctypes.data,
        )
        if done < len(wanted):
            number = int(wanted[done])
            size = int(self._table.sizes[number])
            raise AssertionError(f"block {number} isn't {size} bytes long, as it was laid out")
        return Sections(out, ends)
