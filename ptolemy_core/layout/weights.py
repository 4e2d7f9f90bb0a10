"""Estimated bytes that items add to a CAR, summed up from the first item on: some ten bytes of memory an item.

Where containers are cut is decided by these sums; see `plan`.
"""

from bisect import bisect_right
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import balanced, dagpb
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout.items import Items
from ptolemy_core.tree import SEPARATOR, Kind
from ptolemy_core.tree.packed import by_folder
from ptolemy_core.tree.paths import common_folders

NODE = 90
"""Bytes that a folder adds besides its name: its own empty block and section, and the link to it."""

_HAMT_SHARE = 30
"""Approximate bytes that an entry of a large folder adds to HAMT nodes."""

_BLOCK = 4096
"""Items whose sums are computed at once."""

_CACHED = 256
"""Blocks whose sums are kept: 20 MB."""

_Numbers = NDArray[np.int64]


class _Block(NamedTuple):
    """Columns of `_BLOCK` items or fewer, in the smallest type that holds them."""

    data: NDArray[np.unsignedinteger]
    beyond: NDArray[np.unsignedinteger]
    opening: NDArray[np.unsignedinteger]


class _Sums(NamedTuple):
    """Sums before each item of a block, and after its last."""

    data: _Numbers
    weight: _Numbers


class Weights:
    """Takes items in path order. Then `data` and `weight` can be asked for, as sums of the items before an index.

    Attributes:
        items: how many.
        largest: bytes of data of the largest.
    """

    def __init__(self, profile: Profile) -> None:
        """None yet."""
        self.items = 0
        self.largest = 0
        self._profile = profile
        self._smallest_link = np.iinfo(np.int64).max
        self._blocks: list[_Block] = []
        self._starts: list[int] = []
        self._data: list[int] = []  # sums before each block
        self._weight: list[int] = []  # without the share of HAMT nodes
        self._totals = (0, 0)
        self._components: list[bytes] = []
        self._folder: bytes | None = None
        self._above = 0
        self._bases: dict[str, _Numbers] = {}
        self._cache: dict[int, _Sums] = {}

    def add(self, items: Items) -> None:
        """Take the next items."""
        if not len(items):
            return
        data = np.where(items.kinds == Kind.FILE, items.sizes, 0)
        self.largest = max(self.largest, int(data.max()))
        weight = balanced.section_sizes(items.sizes)
        tsize = items.sizes.copy()
        large = (items.kinds == Kind.FILE) & (items.sizes > self._profile.chunk)
        if large.any():
            extents = balanced.extents(items.sizes[large], self._profile)
            weight[large], tsize[large] = extents.span, extents.tsize
        names, new, above = self._folder_bytes(items)
        link = dagpb.link_sizes(names, tsize)
        self._smallest_link = min(self._smallest_link, int(link.min()))
        weight += link
        weight += new
        for low in range(0, len(items), _BLOCK):
            part = slice(low, low + _BLOCK)
            self._append(data[part], weight[part], above[part])

    def _append(self, data: _Numbers, weight: _Numbers, above: _Numbers) -> None:
        self._starts.append(self.items)
        self._data.append(self._totals[0])
        self._weight.append(self._totals[1])
        self._blocks.append(_Block(_small(data), _small(weight - data), _small(above)))
        self._totals = (self._totals[0] + int(data.sum()), self._totals[1] + int(weight.sum()))
        self.items += len(data)

    def _folder_bytes(self, items: Items) -> tuple[_Numbers, _Numbers, _Numbers]:
        """Of each item: the length of its name, the bytes of its folders that the one before isn't in, of all."""
        lengths: list[int] = []
        new = np.zeros(len(items), dtype=np.int64)
        above: list[int] = []
        counts: list[int] = []
        for folder, entries in by_folder(items.paths):
            if folder != self._folder:
                wanted = folder.split(SEPARATOR) if folder else []
                common = common_folders(self._components, wanted)
                new[len(lengths)] = sum(NODE + len(component) for component in wanted[common:])
                self._above = len(folder) + NODE * len(wanted)
                self._components, self._folder = wanted, folder
            lengths += map(len, entries)
            above.append(self._above)
            counts.append(len(entries))
        return np.array(lengths, dtype=np.int64), new, np.repeat(np.array(above, dtype=np.int64), counts)

    @property
    def _share(self) -> int:
        flat = self._profile.hamt_threshold // self._smallest_link  # no folder of so few entries needs a HAMT
        return _HAMT_SHARE if self.items > flat else 0

    def _sums(self, block: int) -> _Sums:
        known = self._cache.get(block)
        if known is not None:
            return known
        data, beyond, _ = self._blocks[block]
        each = data.astype(np.int64)
        before = self._weight[block] + self._share * self._starts[block]
        sums = _Sums(
            np.concatenate([[0], np.cumsum(each)]) + self._data[block],
            np.concatenate([[0], np.cumsum(each + beyond + self._share)]) + before,
        )
        if len(self._cache) >= _CACHED:
            del self._cache[next(iter(self._cache))]
        self._cache[block] = sums
        return sums

    def _at(self, column: Literal["data", "weight"], index: int) -> int:
        block = min(bisect_right(self._starts, index), len(self._starts)) - 1
        return int(getattr(self._sums(block), column)[index - self._starts[block]])

    def data(self, index: int) -> int:
        """Bytes of data of the items before an index."""
        return self._at("data", index)

    def weight(self, index: int) -> int:
        """Estimated bytes of the items before an index."""
        return self._at("weight", index)

    def opening(self, index: int) -> int:
        """Estimated bytes of the folders that an item is in."""
        block = bisect_right(self._starts, index) - 1
        return int(self._blocks[block].opening[index - self._starts[block]])

    def first(self, column: Literal["data", "weight"], value: float, side: Literal["left", "right"]) -> int:
        """As `np.searchsorted` in the sums of `data` or `weight`."""
        if column not in self._bases:
            bases = np.array(self._data if column == "data" else self._weight, dtype=np.int64)
            if column == "weight":
                bases += self._share * np.array(self._starts, dtype=np.int64)
            self._bases[column] = bases
        block = int(np.searchsorted(self._bases[column], value, side=side)) - 1
        if block < 0:
            return 0
        sums: _Numbers = getattr(self._sums(block), column)
        if block < len(self._blocks) - 1:
            sums = sums[:-1]  # the next block has it
        return self._starts[block] + int(np.searchsorted(sums, value, side=side))


def _small(values: _Numbers) -> NDArray[np.unsignedinteger]:
    """A copy in the smallest unsigned type."""
    return values.astype(np.min_scalar_type(int(values.max())))
