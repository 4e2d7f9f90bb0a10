"""Blocks of small files, many at once: sections of a CAR, links of a folder, and which of them are the same.

Only what is as most are is read here: CIDs of 36 bytes (CIDv1, raw or dag-pb, sha2-256), canonical links. Each
function stops at anything else, and the caller looks closer. Without the compiled kernel nothing is found.
Specifications: https://ipld.io/specs/transport/car/carv1/, https://ipld.io/specs/codecs/dag-pb/spec/
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel import Buffer, _native, as_bytes, variant

_SMALLEST_SECTION = 37
"""Bytes of a section without data."""
_SMALLEST_LINK = 44
"""Bytes of a link with an empty name."""

Column = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SectionColumns:
    """Consecutive sections in a buffer, as offsets there.

    Attributes:
        starts: of the sections.
        contents: of their data, right after CIDs of 36 bytes.
        ends: after their data.
    """

    starts: Column
    contents: Column
    ends: Column


@dataclass(frozen=True, slots=True)
class LinkColumns:
    """Consecutive links at the start of a dag-pb node.

    Attributes:
        block: the node.
        cids: offsets of the CIDs, of 36 bytes each.
        names, name_ends: offsets of the names.
        tsizes: the Tsizes, bytes.
        end: offset after the links.
        named: the number of links before the first whose name can't be an entry's: empty, `.`, `..`, or with a slash
            or NUL.
        ascending: whether names are in strictly ascending byte order.
    """

    block: bytes
    cids: Column
    names: Column
    name_ends: Column
    tsizes: Column
    end: int
    named: int
    ascending: bool


def compiled() -> _native.Library | None:
    """The compiled kernel; None if there is none, or pure Python is asked for."""
    loaded = _native.library()
    return loaded if isinstance(loaded, _native.Library) and variant() != "python" else None


def car_sections(buffer: Buffer, limit: int) -> SectionColumns | None:
    """The complete sections at the start of a buffer, of at most `limit` bytes of CID and data each.

    Returns:
        the sections before the first that isn't usual or complete; None if there are none.
    """
    library = compiled()
    if library is None:
        return None
    data = as_bytes(buffer)
    columns = np.empty((3, data.size // _SMALLEST_SECTION), dtype=np.int64)
    count = library.handle.ptolemy_car_sections(
        data.ctypes.data, 0, data.size, limit, columns.shape[1], *(column.ctypes.data for column in columns)
    )
    return SectionColumns(*columns[:, :count].copy()) if count else None


def dag_links(block: bytes) -> LinkColumns | None:
    """The links at the start of a dag-pb node.

    Returns:
        the links before the first that isn't usual; None if there are none.
    """
    library = compiled()
    if library is None:
        return None
    columns = np.empty((4, len(block) // _SMALLEST_LINK), dtype=np.int64)
    facts = np.zeros(3, dtype=np.int64)
    count = library.handle.ptolemy_dag_links(
        block, len(block), columns.shape[1], *(column.ctypes.data for column in columns), facts.ctypes.data
    )
    if not count:
        return None
    end, named, ascending = facts.tolist()
    cids, names, name_ends, tsizes = columns[:, :count]
    return LinkColumns(block, cids, names, name_ends, tsizes, end, named, bool(ascending))


def matching_leaves(
    buffer: Buffer, sections: SectionColumns, first: int, links: LinkColumns, link: int, chunk: int
) -> int:
    """How many sections are, one after another, what the links name: raw blocks with their sizes as Tsizes.

    Args:
        buffer: what the sections are in.
        sections: the sections.
        first: the number of the first section to compare.
        links: the links; only those with names of entries are compared.
        link: the number of the first link to compare.
        chunk: bytes of a block, at most.
    """
    library = compiled()
    left = min(len(sections.ends) - first, links.named - link)
    if library is None or left <= 0:
        return 0
    data = as_bytes(buffer)
    return int(
        library.handle.ptolemy_matching_leaves(
            data.ctypes.data,
            sections.contents[first:].ctypes.data,
            sections.ends[first:].ctypes.data,
            left,
            links.block,
            links.cids[link:].ctypes.data,
            links.tsizes[link:].ctypes.data,
            left,
            chunk,
        )
    )


def gathered(buffer: Buffer, offsets: Column, size: int) -> NDArray[np.uint8]:
    """`size` bytes at each offset of a buffer, of shape (n, size)."""
    data: NDArray[np.uint8] = as_bytes(buffer)
    return np.take(data, offsets[:, None] + np.arange(size))
