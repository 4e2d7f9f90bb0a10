"""Where the nodes of folders are in a CAR: for paths below its root, since the catalog knows files only.

In a CAR in depth-first order a folder's node is right before its first entry. The catalog says where each file, link
and empty folder is and how long; what lies between two of these are nodes of folders. So an index reads the nodes and
none of the files. The index of a data set's root CAR, which holds nodes alone, reads all of it.
"""

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car.reading import CarBytes
from ptolemy_core.catalog.served import Extents
from ptolemy_core.dag import cid, varint
from ptolemy_core.dag.profile import Profile
from ptolemy_core.errors import StagingError
from ptolemy_core.layout import HEADER_SIZE, item_extents
from ptolemy_core.reader.dagpb import DagPbError, decode_node
from ptolemy_core.reader.hashes import hash_matches, parse_cid

_HEAD = 64
"""Bytes that hold a section's length and CID."""

_MAX_BLOCK = 8 << 20
_READ = 4 << 20
_KEPT = 64 << 20
"""Bytes of indexes that are kept."""

_PER_NODE = 24


class Section(NamedTuple):
    """A section of a CAR: where it is, its CID, its block, and the offset after it."""

    offset: int
    cid: bytes
    block: bytes
    end: int


def read_section(car: CarBytes, offset: int) -> Section:
    """The section at this offset, its block checked against its CID.

    Raises:
        StagingError: there is none.
    """
    head = car.read(offset, min(_HEAD, car.size - offset))
    try:
        length, begin = varint.decode(head)
        binary = head[begin : begin + cid.SIZE]
        parsed = parse_cid(binary)
    except ValueError as error:
        raise _damaged(offset, str(error)) from None
    size = length - cid.SIZE
    if not 0 <= size <= _MAX_BLOCK or offset + begin + length > car.size:
        raise _damaged(offset, f"a section of {length} bytes")
    block = car.read(offset + begin + cid.SIZE, size)
    if not hash_matches(parsed, block):
        raise _damaged(offset, f"the block {cid.to_text(binary)} has another hash")
    return Section(offset, binary, block, offset + begin + length)


class FolderIndex:
    """Offsets of nodes in a CAR by their CIDs, and the ends of what is below them."""

    def __init__(self, keys: "array[int]", offsets: "array[int]", ends: "array[int]") -> None:
        known = _column(keys, np.uint64)
        order = np.argsort(known, kind="stable")
        self._keys = known[order]
        self._offsets = _column(offsets, np.int64)[order]
        self._ends = _column(ends, np.int64)[order]

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return _PER_NODE * len(self._keys)

    def find(self, car: CarBytes, wanted: bytes) -> tuple[Section, int] | None:
        """The section of this CID, and the end of its subtree; None if it isn't there."""
        key = np.uint64(_key(wanted))
        at = int(np.searchsorted(self._keys, key))
        while at < len(self._keys) and self._keys[at] == key:
            section = read_section(car, int(self._offsets[at]))
            if section.cid == wanted:
                return section, int(self._ends[at])
            at += 1
        return None


def index_container(car: CarBytes, pages: Iterable[Extents], profile: Profile) -> FolderIndex:
    """The index of a container's CAR.

    Args:
        car: the CAR.
        pages: all of its items, in the order of their blocks.
        profile: of the DAG.

    Raises:
        StagingError: the CAR isn't what the catalog says.
        SourceError, OutlineError: it can't be read.
    """
    keys, offsets, ends = array("Q"), array("q"), array("q")
    open_ones: list[
        list[int]
    ] = []  # of each folder around: its number here, and its links that weren't met yet
    at = HEADER_SIZE
    for begin, span in _items(pages, profile):
        while at < begin:
            section = read_section(car, at)
            try:
                links = len(decode_node(section.block).links)
            except DagPbError as error:
                raise _damaged(at, f"no folder's node: {error}") from None
            keys.append(_key(section.cid))
            offsets.append(at)
            ends.append(section.end)
            open_ones.append([len(keys) - 1, links])
            at = section.end
        if at != begin:
            raise _damaged(at, f"an item begins at {begin}")
        at += span
        while open_ones:
            open_ones[-1][1] -= 1
            if open_ones[-1][1]:
                break
            ends[open_ones.pop()[0]] = at
    if open_ones or at != car.size:
        raise _damaged(at, "folders end elsewhere than the catalog says")
    return FolderIndex(keys, offsets, ends)


def _items(pages: Iterable[Extents], profile: Profile) -> Iterator[tuple[int, int]]:
    for page in pages:
        spans = item_extents(page.kinds, page.sizes, profile).span
        yield from zip(page.offsets.tolist(), spans.tolist(), strict=True)


def index_root(car: CarBytes) -> FolderIndex:
    """The index of the CAR of a data set's root: all of its sections.

    Raises:
        StagingError: it can't be read, or is damaged.
    """
    keys, offsets = array("Q"), array("q")
    at, base, window = HEADER_SIZE, 0, b""
    while at < car.size:
        if at + _HEAD > base + len(window) and base + len(window) < car.size:
            base, window = at, car.read(at, min(_READ, car.size - at))
        try:
            length, begin = varint.decode(window, at - base)
        except ValueError as error:
            raise _damaged(at, str(error)) from None
        keys.append(_key(window[begin : begin + cid.SIZE]))
        offsets.append(at)
        at = base + begin + length
    return FolderIndex(keys, offsets, array("q", bytes(8 * len(keys))))


class IndexCache:
    """Indexes of CARs that were made, by payload CID: an index never changes. One that several want is made once."""

    def __init__(self, limit: int = _KEPT) -> None:
        self._limit = limit
        self._made: OrderedDict[bytes, FolderIndex] = OrderedDict()
        self._lock = threading.Lock()
        self._making = threading.Lock()

    def get(self, payload_cid: bytes, make: Callable[[], FolderIndex]) -> FolderIndex:
        """The index of a CAR; made if it isn't there. Raises what `make` does."""
        found = self._known(payload_cid)
        if found is not None:
            return found
        with self._making:  # one at a time: making one may take seconds
            found = self._known(payload_cid)
            if found is not None:
                return found
            made = make()
        with self._lock:
            self._made[payload_cid] = made
            while len(self._made) > 1 and sum(one.size for one in self._made.values()) > self._limit:
                self._made.popitem(last=False)
        return made

    def _known(self, payload_cid: bytes) -> FolderIndex | None:
        with self._lock:
            if payload_cid in self._made:
                self._made.move_to_end(payload_cid)
            return self._made.get(payload_cid)


def _key(binary: bytes) -> int:
    return int.from_bytes(binary[-8:], "little")


def _column(values: "array[int]", kind: type[np.generic]) -> NDArray[np.generic]:
    return np.frombuffer(values, dtype=kind) if values else np.empty(0, dtype=kind)


def _damaged(offset: int, what: str) -> StagingError:
    return StagingError(f"the CAR isn't what its receipt says at byte {offset}: {what}; verify it")
