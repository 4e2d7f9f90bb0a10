"""Writing what a CAR has besides file data, many blocks at once: heads of leaves' sections, and whole nodes.

The compiled kernel encodes whole batches; without it the caller encodes nodes one by one, and heads and pieces are
written here with NumPy and slices. All give the same bytes.
Specifications: https://ipld.io/specs/transport/car/carv1/, https://ipld.io/specs/codecs/dag-pb/spec/
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, varint
from ptolemy_core.kernel import Buffer, as_bytes, variant
from ptolemy_core.kernel.blocks import compiled

_SLACK = 128
"""Bytes that the compiled kernel wants after the last section."""

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class BlockColumns:
    """What is known of all blocks of a CAR: `Block`, bytes, Tsize, bytes of file data below, and sha2-256."""

    kinds: NDArray[np.int8]
    sizes: Column
    tsizes: Column
    lengths: Column
    digests: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class NodeBatch:
    """Nodes to encode, children before parents.

    Attributes:
        numbers: their blocks.
        edges: node i has the links from edges[i] to edges[i + 1].
        targets: the block that each link leads to.
        names: of the links, side by side.
        name_ends: where each name ends.
    """

    numbers: Column
    edges: Column
    targets: Column
    names: bytes
    name_ends: Column


@dataclass(frozen=True, slots=True)
class Sections:
    """Encoded sections side by side; `ends[i]` is the offset after section i."""

    data: NDArray[np.uint8]
    ends: Column

    @classmethod
    def of(cls, sections: Sequence[bytes]) -> "Sections":
        """These sections."""
        lengths = np.fromiter(map(len, sections), dtype=np.int64, count=len(sections))
        return cls(np.frombuffer(b"".join(sections), dtype=np.uint8), np.cumsum(lengths))

    def take(self, rows: NDArray[np.int64]) -> "Sections":
        """A copy of the sections with these indexes, in this order."""
        view = self.data.data
        return Sections.of([view[self.ends[k - 1] if k else 0 : self.ends[k]] for k in rows.tolist()])


class _Nodes(ctypes.Structure):
    """`struct nodes` of native/encode.c."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("blocks", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("numbers", "edges", "targets", "name_ends")),
        ("names", ctypes.c_char_p),
        *((name, ctypes.c_void_p) for name in ("kinds", "sizes", "tsizes", "lengths", "digests")),
    )


def encode_nodes(batch: NodeBatch, blocks: BlockColumns) -> Sections | None:
    """The sections of nodes, whose digests are set in `blocks`; None without the compiled kernel.

    Raises:
        AssertionError: a node doesn't have the size that it was laid out with.
    """
    library = compiled()
    if library is None:
        return None
    sizes = blocks.sizes[batch.numbers]
    sections = sizes + cid.SIZE + varint.lengths(sizes + cid.SIZE)
    out = np.empty(int(sections.sum()) + _SLACK, dtype=np.uint8)
    ends = np.empty(len(batch.numbers), dtype=np.int64)
    columns = _columns(batch, blocks)
    nodes = _Nodes(
        len(ends),
        len(blocks.kinds),
        *(column.ctypes.data for column in columns[:4]),
        batch.names,
        *(column.ctypes.data for column in columns[4:]),
        blocks.digests.ctypes.data,
    )
    done = library.handle.ptolemy_encode_nodes(
        library.variants[variant()], ctypes.byref(nodes), out.ctypes.data, len(out), ends.ctypes.data
    )
    if done < len(ends):
        number = int(batch.numbers[done])
        raise AssertionError(f"block {number} isn't {blocks.sizes[number]} bytes long, as it was laid out")
    return Sections(out[: len(out) - _SLACK], ends)


def _columns(batch: NodeBatch, blocks: BlockColumns) -> list[NDArray[np.int64] | NDArray[np.int8]]:
    """All columns but digests as the compiled kernel takes them, of matching lengths."""
    links, count = len(batch.targets), len(blocks.kinds)
    digests = blocks.digests
    fits = len(batch.edges) == len(batch.numbers) + 1 and len(batch.name_ends) == links
    fits = (
        fits and (batch.edges[0], batch.edges[-1]) == (0, links) and bool((np.diff(batch.edges) >= 0).all())
    )
    fits = fits and (not links or batch.name_ends[-1] <= len(batch.names))
    fits = fits and digests.shape == (count, 32) and digests.flags.c_contiguous and digests.flags.writeable
    numbers = (blocks.sizes, blocks.tsizes, blocks.lengths)
    if not fits or any(len(column) != count for column in numbers):
        raise ValueError("the columns of nodes and blocks don't match")
    return [
        *(
            np.ascontiguousarray(column, dtype=np.int64)
            for column in (batch.numbers, batch.edges, batch.targets, batch.name_ends)
        ),
        np.ascontiguousarray(blocks.kinds, dtype=np.int8),
        *(np.ascontiguousarray(column, dtype=np.int64) for column in numbers),
    ]


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
