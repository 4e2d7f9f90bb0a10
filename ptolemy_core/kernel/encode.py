"""Writing what a CAR has besides file data, many blocks at once: heads of leaves' sections, and whole nodes.

The compiled kernel encodes whole batches; without it the caller encodes nodes one by one, and heads and pieces are
written here with NumPy and slices. All give the same bytes.
Specifications: https://ipld.io/specs/transport/car/carv1/, https://ipld.io/specs/codecs/dag-pb/spec/
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, varint
from ptolemy_core.kernel import Buffer, as_bytes, variant
from ptolemy_core.kernel.blocks import compiled

SLACK = 128
"""Bytes that the compiled kernel wants after the last section."""

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LinkColumns:
    """Links of nodes: the block that each leads to, its `Block`, Tsize and bytes of file data below; and the names.

    `names` are side by side, and `name_ends` says where each of them ends.
    """

    targets: Column
    kinds: NDArray[np.int8]
    tsizes: Column
    lengths: Column
    names: Buffer
    name_ends: Column


@dataclass(frozen=True, slots=True)
class NodeBatch:
    """Nodes to encode, children before parents.

    Attributes:
        numbers: their blocks.
        kinds: `Block` of each.
        sizes: bytes that each was laid out with.
        edges: node i has the links from edges[i] to edges[i + 1].
        links: of all of them.
    """

    numbers: Column
    kinds: NDArray[np.int8]
    sizes: Column
    edges: Column
    links: LinkColumns


@dataclass(frozen=True, slots=True)
class Sections:
    """Encoded sections side by side; `ends[i]` is the offset after section i."""

    data: NDArray[np.uint8]
    ends: Column

    @classmethod
    def of(cls, sections: Sequence[Buffer]) -> "Sections":
        """These sections."""
        lengths = np.fromiter(map(len, sections), dtype=np.int64, count=len(sections))
        return cls(np.frombuffer(b"".join(sections), dtype=np.uint8), np.cumsum(lengths))

    def take(self, rows: NDArray[np.int64]) -> "Sections":
        """A copy of the sections with these indexes, in this order."""
        view = self.data.data
        return Sections.of([view[self.ends[k - 1] if k else 0 : self.ends[k]] for k in rows.tolist()])


_NUMBERS = ("numbers", "sizes", "edges", "targets", "tsizes", "lengths", "name_ends")
_KINDS = ("kinds", "target_kinds")


class _Nodes(ctypes.Structure):
    """`struct nodes` of native/encode.c."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("blocks", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in (*_NUMBERS, *_KINDS)),
        ("names", ctypes.c_void_p),
        ("digests", ctypes.c_void_p),
    )


def encode_nodes(batch: NodeBatch, digests: NDArray[np.uint8]) -> Sections | None:
    """The sections of nodes; None without the compiled kernel.

    Args:
        batch: the nodes.
        digests: sha2-256 of all blocks, a row each: those of the nodes are set, their other targets' are known.

    Raises:
        AssertionError: a node doesn't have the size that it was laid out with.
        ValueError: the columns don't match.
    """
    library = compiled()
    if library is None:
        return None
    _check(batch, digests)
    heads = cid.SIZE + varint.lengths(np.maximum(batch.sizes, 0) + cid.SIZE)
    out = np.empty(int((np.maximum(batch.sizes, 0) + heads).sum()) + SLACK, dtype=np.uint8)
    ends = np.empty(len(batch.numbers), dtype=np.int64)
    links = batch.links
    numbers = (
        batch.numbers,
        batch.sizes,
        batch.edges,
        links.targets,
        links.tsizes,
        links.lengths,
        links.name_ends,
    )
    columns: list[NDArray[Any]] = [
        *(np.ascontiguousarray(column, dtype=np.int64) for column in numbers),
        *(np.ascontiguousarray(column, dtype=np.int8) for column in (batch.kinds, links.kinds)),
    ]
    columns.append(as_bytes(links.names))
    addresses = (column.ctypes.data for column in columns)
    nodes = _Nodes(len(ends), len(digests), *addresses, digests.ctypes.data)
    done = library.handle.ptolemy_encode_nodes(
        library.variants[variant()], ctypes.byref(nodes), out.ctypes.data, len(out), ends.ctypes.data
    )
    if done < len(ends):
        raise AssertionError(
            f"block {batch.numbers[done]} isn't {batch.sizes[done]} bytes long, as it was laid out"
        )
    return Sections(out[: len(out) - SLACK], ends)


def _check(batch: NodeBatch, digests: NDArray[np.uint8]) -> None:
    """Check that columns have matching lengths, and that edges are in them."""
    count, links = len(batch.numbers), len(batch.links.targets)
    of_nodes: tuple[NDArray[Any], ...] = (batch.kinds, batch.sizes, batch.edges[1:])
    of_links: tuple[NDArray[Any], ...] = (
        batch.links.kinds,
        batch.links.tsizes,
        batch.links.lengths,
        batch.links.name_ends,
    )
    same = {*map(len, of_nodes)} == {count} and {*map(len, of_links)} == {links}
    same = (
        same and (batch.edges[0], batch.edges[-1]) == (0, links) and bool((np.diff(batch.edges) >= 0).all())
    )
    same = same and (not links or 0 <= batch.links.name_ends.max() <= len(batch.links.names))
    same = same and (not links or batch.links.name_ends.min() >= 0)
    whole = digests.ndim == 2 and digests.shape[1] == 32 and digests.dtype == np.uint8
    if not (same and whole and digests.flags.c_contiguous and digests.flags.writeable):
        raise ValueError("the columns of nodes, links and digests don't match")


def put_leaf_heads(buffer: Buffer, begins: Column, sizes: Column, digests: NDArray[np.uint8]) -> None:
    """Write what comes before the bytes of leaves in their sections: length and CID.

    Args:
        buffer: writable; holds the leaves.
        begins: where the bytes of each begin in it.
        sizes: bytes of each.
        digests: of each, a row.

    Raises:
        ValueError: a head isn't inside the buffer.
    """
    target = np.frombuffer(buffer, dtype=np.uint8)
    library = compiled()
    if library is None:
        _put_heads_in_python(target, begins, sizes, digests)
        return
    columns = [np.ascontiguousarray(column, dtype=np.int64) for column in (begins, sizes)]
    rows = np.ascontiguousarray(digests, dtype=np.uint8)
    if not len(begins) == len(sizes) == len(rows):
        raise ValueError("begins, sizes and digests differ in length")
    done = library.handle.ptolemy_put_heads(
        target.ctypes.data,
        len(target),
        *(column.ctypes.data for column in columns),
        rows.ctypes.data,
        len(rows),
    )
    if done < len(rows):
        raise ValueError(f"the head of the leaf at {begins[done]} isn't inside the buffer")


def _put_heads_in_python(
    target: NDArray[np.uint8], begins: Column, sizes: Column, digests: NDArray[np.uint8]
) -> None:
    lengths = varint.lengths(sizes + cid.SIZE)
    outside = (begins < cid.SIZE + lengths) | (begins > len(target))
    if outside.any():
        raise ValueError(f"the head of the leaf at {begins[outside][0]} isn't inside the buffer")
    target[begins[:, None] + np.arange(-32, 0)] = digests
    target[begins[:, None] + np.arange(-36, -32)] = np.frombuffer(cid.RAW_PREFIX, dtype=np.uint8)
    for length in set(lengths.tolist()):
        same = lengths == length
        groups = (sizes[same] + cid.SIZE)[:, None] >> np.arange(length) * 7 & 0x7F
        groups[:, :-1] |= 0x80
        target[begins[same][:, None] + np.arange(-36 - length, -36)] = groups


def copy_pieces(buffer: Buffer, size: int, places: Column, pieces: Sections) -> None:
    """Copy pieces to these offsets of the first `size` bytes of a buffer; what is outside of those is left out.

    Raises:
        ValueError: the pieces aren't those of their data, or the buffer is smaller than `size`.
    """
    target = np.frombuffer(buffer, dtype=np.uint8)
    ends = np.ascontiguousarray(pieces.ends, dtype=np.int64)
    if size > len(target) or len(places) != len(ends) or (len(ends) and ends[-1] > len(pieces.data)):
        raise ValueError("the pieces don't match their places")
    library = compiled()
    if library is None:
        start = 0
        for place, end in zip(places.tolist(), ends.tolist(), strict=True):
            low, high = max(0, -place), min(end - start, size - place)
            if low < high:
                target[place + low : place + high] = pieces.data[start + low : start + high]
            start = end
        return
    at = np.ascontiguousarray(places, dtype=np.int64)
    data = as_bytes(pieces.data)
    library.handle.ptolemy_copy_pieces(
        target.ctypes.data, size, at.ctypes.data, data.ctypes.data, ends.ctypes.data, len(ends)
    )
