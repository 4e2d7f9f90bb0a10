"""The links of many nodes of a layout, gathered as columns in one call of the compiled kernel."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel.blocks import compiled
from ptolemy_core.kernel.encode import Column, LinkColumns
from ptolemy_core.tree.packed import PackedPaths

_SMALLEST_LINK = 44
"""Bytes that a link takes in its node, at least."""


@dataclass(frozen=True, slots=True)
class NodeTable:
    """The blocks of a layout in depth-first pre-order, from which links are gathered.

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


class LinkGatherer:
    """Gathers the links of a layout's nodes."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
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
        self._kept = (columns, firsts, texts, places)
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

    def gather(self, numbers: Column, sizes: Column) -> tuple[Column, LinkColumns] | None:
        """The links of these nodes; None without the compiled kernel.

        Args:
            numbers: the nodes' blocks.
            sizes: bytes of each.

        Returns:
            where those of each node begin, and the end of the last; and the links.

        Raises:
            AssertionError: a node has more or longer links than its size allows.
        """
        library = compiled()
        if library is None:
            return None
        wanted = np.ascontiguousarray(numbers, dtype=np.int64)
        total = int(sizes.sum())
        columns = np.empty((4, total // _SMALLEST_LINK), dtype=np.int64)
        kinds = np.empty(columns.shape[1], dtype=np.int8)
        names = np.empty(total, dtype=np.uint8)
        edges = np.empty(len(wanted) + 1, dtype=np.int64)
        room = _Links(
            columns.shape[1],
            total,
            *(column.ctypes.data for column in columns),
            kinds.ctypes.data,
            names.ctypes.data,
        )
        done = library.handle.ptolemy_gather_links(
            ctypes.byref(self._layout), wanted.ctypes.data, len(wanted), ctypes.byref(room), edges.ctypes.data
        )
        if done < len(wanted):
            raise AssertionError(
                f"block {wanted[done]} isn't a node of {sizes[done]} bytes, as it was laid out"
            )
        count = int(edges[-1])
        targets, tsizes, lengths, name_ends = columns[:, :count]
        used = int(name_ends[-1]) if count else 0
        return edges, LinkColumns(targets, kinds[:count], tsizes, lengths, names[:used], name_ends)
