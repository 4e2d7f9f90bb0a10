"""The exact size of a CAR from its items as they come, in path order: no more of them is kept than open folders need.

The same sizes as `tree.measure_tree`, which has all rows of a container at once.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, dagpb, hamt, hamt_trie, unixfs
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import names
from ptolemy_core.layout.extents import item_extents
from ptolemy_core.layout.items import WHOLE, Items
from ptolemy_core.layout.table import HEADER_SIZE
from ptolemy_core.layout.tree import encoded_names, require_order
from ptolemy_core.tree import SEPARATOR
from ptolemy_core.tree.packed import by_folder
from ptolemy_core.tree.paths import common_folders

_Numbers = NDArray[np.int64]

_WAITING = 4096
"""Entries of a folder whose names are kept: about as many as a folder without a HAMT has."""


@dataclass(slots=True)
class _Folder:
    """An open folder: sums of what is in it so far, and its entries, should it need a HAMT.

    The last entries are `waiting`, names inside the CAR and tsizes; of those before them there are columns.
    """

    name: bytes = b""
    links: int = 0
    tsize: int = 0
    span: int = 0
    count: int = 0
    waiting: list[tuple[list[bytes], _Numbers]] = field(default_factory=list)
    waiting_entries: int = 0
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    lengths: list[NDArray[np.int32]] = field(default_factory=list)
    tsizes: list[_Numbers] = field(default_factory=list)

    def keep(self, some: list[bytes], tsizes: _Numbers) -> None:
        """Add entries."""
        self.waiting.append((some, tsizes))
        self.waiting_entries += len(some)
        if self.waiting_entries >= _WAITING:
            self._pack()

    def _pack(self) -> None:
        """Put what is waiting into the columns."""
        if not self.waiting:
            return
        some = [name for part, _ in self.waiting for name in part]
        tsizes = np.concatenate([part for _, part in self.waiting])
        self.hashes.append(hamt.hashes_of(some))
        self.lengths.append(np.fromiter(map(len, some), dtype=np.int32, count=len(some)))
        self.tsizes.append(tsizes)
        self.waiting.clear()
        self.waiting_entries = 0

    def trie(self) -> hamt_trie.Trie:
        """Its HAMT, measured without what is below the entries but their tsizes.

        Raises:
            SameHashError: names have the same hash.
        """
        self._pack()
        trie = hamt_trie.trie(np.concatenate(self.hashes))
        nothing = np.broadcast_to(np.int64(0), (len(trie.order),))
        trie.measure(
            np.concatenate(self.lengths), np.concatenate(self.tsizes), nothing, nothing.astype(np.int32)
        )
        return trie


class CarMeasure:
    """Takes the items of one CAR, in batches, and gives its size."""

    def __init__(self, profile: Profile) -> None:
        """Of a DAG of this profile."""
        self.items = 0
        self.data_bytes = 0
        self._profile = profile
        self._open = [_Folder()]
        self._components: list[bytes] = []
        self._folder = b""
        self._previous: bytes | None = None
        self._only_span: int | None = None

    def add(self, items: Items) -> None:
        """Take the next items.

        Raises:
            ValueError: they aren't in path order, or two of them have the same path.
        """
        if not len(items):
            return
        extents = item_extents(items.kinds, items.sizes, self._profile)
        if not self.items and items.paths[0] == b"" and len(items) == 1:
            self._only_span = int(extents.span[0])
        else:
            self._take(items, extents)
        self.items += len(items)
        self.data_bytes += items.data_bytes

    def finish(self) -> int:
        """Bytes of the CAR.

        Raises:
            SameHashError: names in a large folder have the same hash.
            ValueError: the target itself is not the only item.
        """
        if self._only_span is not None:
            if self.items > 1:
                raise ValueError("items are not in path order: the target itself is one of several")
            return HEADER_SIZE + self._only_span
        while len(self._open) > 1:
            self._close()
        root = self._open[0]
        self._finish_folder(root)
        return HEADER_SIZE + root.span

    def _take(self, items: Items, extents: balanced.Extents) -> None:
        split = bool((items.shards != WHOLE).any())
        edges = [0]
        groups: list[tuple[bytes, list[bytes]]] = []
        for folder, entries in by_folder(items.paths):
            low, high = edges[-1], edges[-1] + len(entries)
            shards = items.shards[low:high].tolist() if split else None
            self._previous = require_order(self._previous, folder, entries, shards)
            groups.append((folder, encoded_names(entries, shards)))
            edges.append(high)
        lengths = map(len, itertools.chain.from_iterable(entries for _, entries in groups))
        links = dagpb.link_sizes(np.fromiter(lengths, dtype=np.int64, count=len(items)), extents.tsize)
        columns = (links, extents.tsize, extents.span, extents.count)
        sums = [np.add.reduceat(column, edges[:-1]).tolist() for column in columns]
        for k, (folder, entries) in enumerate(groups):
            self._enter(folder)
            top = self._open[-1]
            top.links += sums[0][k]
            top.tsize += sums[1][k]
            top.span += sums[2][k]
            top.count += sums[3][k]
            top.keep(entries, extents.tsize[edges[k] : edges[k + 1]])

    def _enter(self, folder: bytes) -> None:
        """Close and open folders so that this one is the last."""
        if folder == self._folder:
            return
        wanted = folder.split(SEPARATOR) if folder else []
        common = common_folders(self._components, wanted)
        while len(self._open) > common + 1:
            self._close()
        self._open += [_Folder(names.encode(component)) for component in wanted[common:]]
        self._components, self._folder = wanted, folder

    def _close(self) -> None:
        """The last open folder is complete: it becomes an entry of the one that it is in."""
        done = self._open.pop()
        self._finish_folder(done)
        above = self._open[-1]
        above.links += dagpb.link_size(len(done.name), done.tsize)
        above.tsize += done.tsize
        above.span += done.span
        above.count += done.count
        above.keep([done.name], np.array([done.tsize], dtype=np.int64))

    def _finish_folder(self, folder: _Folder) -> None:
        """Add the folder's own blocks to its sums."""
        block = unixfs.PLAIN_DIRECTORY_DATA + folder.links
        if block <= self._profile.hamt_threshold:
            folder.tsize += block
            folder.span += int(balanced.section_sizes(np.array([block]))[0])
            folder.count += 1
            return
        trie = folder.trie()
        folder.tsize = int(trie.tsize[0])
        folder.span += int(trie.span[0])
        folder.count += int(trie.count[0])
