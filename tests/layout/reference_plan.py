"""The plan as it is made with all items in memory: what a plan in batches must be, container by container."""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import commp
from ptolemy_core.dag import balanced, dagpb
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import PlanError
from ptolemy_core.layout import HEADER_SIZE, Items, build_tree, measure_tree
from ptolemy_core.layout.plan import PlannedContainer
from ptolemy_core.tree import SEPARATOR, Kind
from ptolemy_core.tree.paths import common_folders

_NODE = 90
"""Bytes that a folder adds besides its name: its own empty block and section, and the link to it."""

_HAMT_SHARE = 30
"""Approximate bytes that an entry of a large folder adds to HAMT nodes."""

_MAX_ATTEMPTS = 50


def plan(items: Items, car_bytes: int, profile: Profile = UNIXFS_V1_2025) -> list[PlannedContainer]:
    """Group all items into containers.

    Args:
        items: shards and whole entries in path order.
        car_bytes: bytes of data in one container, at most.
        profile: of the DAG.

    Raises:
        PlanError: an item doesn't fit any CAR.
        ValueError: the items aren't in path order.
    """
    if not len(items):
        return []
    capacity = commp.capacity(commp.piece_size(car_bytes))
    data = np.where(items.kinds == Kind.FILE, items.sizes, 0)
    if int(data.max()) > car_bytes:
        raise PlanError(f"a shard of {int(data.max())} bytes is larger than car_size, {car_bytes} bytes")
    weight, opening = _weights(items, profile)
    limit = capacity - HEADER_SIZE - _NODE
    for _ in range(_MAX_ATTEMPTS):
        cuts = _cut(data, weight, opening, car_bytes, limit)
        planned = [measured(items, a, b, profile) for a, b in itertools.pairwise(cuts)]
        over = max(container.car_size for container in planned) - capacity
        if over <= 0:
            return planned
        limit -= max(over, limit // 100)
        if limit <= 0:
            break
    raise PlanError(
        f"no container of {capacity} bytes can hold these files: their names need more space than their data; "
        "use a larger car_size"
    )


def measured(items: Items, start: int, stop: int, profile: Profile = UNIXFS_V1_2025) -> PlannedContainer:
    """The container of items `[start, stop)`, with its exact size."""
    part = items[start:stop]
    tree = measure_tree(build_tree(part), part, profile)
    size = HEADER_SIZE + int(tree.span[0])
    return PlannedContainer(start, stop, part.data_bytes, size, commp.piece_size(size))


def _weights(items: Items, profile: Profile) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Estimated bytes that each item adds to a CAR after the item before it; and the bytes of its parent folders."""
    weight = balanced.section_sizes(items.sizes)
    tsize = items.sizes.copy()
    large = (items.kinds == Kind.FILE) & (items.sizes > profile.chunk)
    extents = balanced.extents(items.sizes[large], profile)
    weight[large], tsize[large] = extents.span, extents.tsize
    names, new, above = _folder_bytes(items.paths)
    link = dagpb.link_sizes(names, tsize)
    flat = profile.hamt_threshold // int(link.min())  # no folder of so few entries needs a HAMT
    share = _HAMT_SHARE if len(items) > flat else 0
    weight += link
    weight += new
    weight += share
    return weight, above


def _folder_bytes(
    paths: Sequence[bytes],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """For each path: its name's length, the bytes of folders not shared with the path before, of all its folders."""
    names = np.empty(len(paths), dtype=np.int64)
    new = np.zeros(len(paths), dtype=np.int64)
    above = np.empty(len(paths), dtype=np.int64)
    last: bytes | None = None
    opened: list[bytes] = []
    depth_bytes = 0
    for k, path in enumerate(paths):
        folder, _, name = path.rpartition(SEPARATOR)
        names[k] = len(name)
        if folder != last:
            wanted = folder.split(SEPARATOR) if folder else []
            common = common_folders(opened, wanted)
            new[k] = sum(_NODE + len(component) for component in wanted[common:])
            depth_bytes = len(folder) + _NODE * len(wanted)
            opened, last = wanted, folder
        above[k] = depth_bytes
    return names, new, above


def _cut(
    data: NDArray[np.int64],
    weight: NDArray[np.int64],
    opening: NDArray[np.int64],
    car_bytes: int,
    limit: int,
) -> list[int]:
    """Ends of containers: as few as possible, each cut as close to an equal share as the limits allow."""
    total = len(data)
    data_sum = np.concatenate([[0], np.cumsum(data)])
    weight_sum = np.concatenate([[0], np.cumsum(weight)])

    def reach(start: int) -> int:
        """The largest possible end of a container that starts here."""
        by_data = np.searchsorted(data_sum, data_sum[start] + car_bytes, side="right") - 1
        budget = weight_sum[start] + limit - opening[start]
        by_weight = np.searchsorted(weight_sum, budget, side="right") - 1
        return max(start + 1, int(min(by_data, by_weight)))  # one item alone: measured afterwards

    latest = [0]
    while latest[-1] < total:
        latest.append(reach(latest[-1]))
    earliest = [
        total
    ]  # smallest possible ends, last container first: the rest must fit the remaining containers
    low = total
    for _ in range(len(latest) - 2):
        low = _first_reaching(reach, low)
        earliest.append(low)
    earliest.reverse()
    cuts = [0]
    for k, first in enumerate(earliest):
        if cuts[-1] >= total:  # too early: a container would be too large
            return latest
        left = len(earliest) - k
        fair = weight_sum[cuts[-1]] + (weight_sum[total] - weight_sum[cuts[-1]]) / left
        nearest = int(np.searchsorted(weight_sum, fair, side="left"))
        if nearest > 0 and fair - weight_sum[nearest - 1] < weight_sum[nearest] - fair:
            nearest -= 1
        cuts.append(max(first, min(nearest, reach(cuts[-1])), cuts[-1] + 1))
    # a container that starts in deeper folders holds slightly less, so equal shares may not suffice: use the longest
    return cuts if cuts[-1] == total else latest


def _first_reaching(reach: Callable[[int], int], end: int) -> int:
    """The first start from which a container reaches `end`."""
    low, high = 0, end - 1
    while low < high:
        middle = (low + high) // 2
        if reach(middle) >= end:
            high = middle
        else:
            low = middle + 1
    return low
