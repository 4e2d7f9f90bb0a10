"""Planning: files are split into shards, shards are grouped into containers, as few as possible and of similar size.

Containers are contiguous ranges in path order. The cuts are chosen from an estimate of the bytes that each item adds
to a CAR. Then each container's exact size is computed from its layout; if one exceeds its piece, all are planned
again with a lower limit.

Items come in batches, more than once, so that a plan takes memory for a few numbers an item, not for their names.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import commp
from ptolemy_core.dag.hamt import SameHashError, hashes_of
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import PlanError
from ptolemy_core.layout import HEADER_SIZE, WHOLE, Items, names
from ptolemy_core.layout.measure import CarMeasure
from ptolemy_core.layout.weights import NODE, Weights
from ptolemy_core.tree import Kind, paths

_MAX_ATTEMPTS = 50

Batches = Callable[[], Iterable[Items]]
"""Gives the same items again each time, in path order and some at a time."""


@dataclass(frozen=True, slots=True)
class PlannedContainer:
    """A planned container: the items `[start, stop)`.

    Attributes:
        start, stop: range of items.
        data_bytes: bytes of file data in it.
        car_size, piece_size: exact bytes of its CAR, before and after padding.
    """

    start: int
    stop: int
    data_bytes: int
    car_size: int
    piece_size: int


def split(files: Items, shard_bytes: int) -> tuple[Items, NDArray[np.int64]]:
    """Split files larger than `shard_bytes` into shards; returns the items and the index of each item's file.

    A file whose size is an exact multiple of `shard_bytes` gets no empty last shard.
    """
    pieces = np.where(files.kinds == Kind.FILE, np.maximum(1, -(-files.sizes // shard_bytes)), 1)
    origin = np.repeat(np.arange(len(files), dtype=np.int64), pieces)
    if len(origin) == len(files):
        return files, origin
    number = np.arange(len(origin)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    is_split = np.repeat(pieces > 1, pieces)
    starts = number * shard_bytes
    lengths = np.minimum(shard_bytes, files.sizes[origin] - starts)
    return (
        Items(
            [files.paths[k] for k in origin.tolist()],
            files.kinds[origin],
            np.where(is_split, lengths, files.sizes[origin]),
            np.where(is_split, starts, 0),
            np.where(is_split, number, WHOLE).astype(np.int32),
        ),
        origin,
    )


def plan(items: Items, car_bytes: int, profile: Profile = UNIXFS_V1_2025) -> list[PlannedContainer]:
    """`plan_batches` of items that are in memory."""
    return plan_batches(lambda: (items,), car_bytes, profile)


def plan_batches(
    batches: Batches, car_bytes: int, profile: Profile = UNIXFS_V1_2025
) -> list[PlannedContainer]:
    """Group all items into containers.

    Args:
        batches: shards and whole entries in path order.
        car_bytes: bytes of data in one container, at most.
        profile: of the DAG.

    Raises:
        PlanError: an item doesn't fit any CAR.
        ValueError: the items aren't in path order, or names in a large folder have the same hash.
    """
    weights = Weights(profile)
    for items in batches():
        weights.add(items)
    if not weights.items:
        return []
    capacity = commp.capacity(commp.piece_size(car_bytes))
    if weights.largest > car_bytes:
        raise PlanError(f"a shard of {weights.largest} bytes is larger than car_size, {car_bytes} bytes")
    limit = capacity - HEADER_SIZE - NODE
    for _ in range(_MAX_ATTEMPTS):
        planned = list(_measured_all(batches, _cut(weights, car_bytes, limit), profile))
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
    (only,) = _measured_all(lambda: (items[:stop],), [start, stop], profile)
    return only


def _measured_all(batches: Batches, cuts: Sequence[int], profile: Profile) -> Iterator[PlannedContainer]:
    """The containers between cuts; items before the first cut are passed over."""
    ends = iter(itertools.pairwise(cuts))
    start, stop = next(ends)
    measure, at = CarMeasure(profile), 0
    for items in batches():
        low = max(0, start - at)
        while low < len(items):
            part = items[low : stop - at]
            measure.add(part)
            low += len(part)
            if at + low < stop:
                break
            try:
                size = measure.finish()
            except SameHashError as error:
                raise error.naming(_names_of_hash(batches, error.hash)) from error
            yield PlannedContainer(start, stop, measure.data_bytes, size, commp.piece_size(size))
            start, stop = next(ends, (stop, stop))
            if start == stop:
                return
            measure = CarMeasure(profile)
        at += len(items)


def _names_of_hash(batches: Batches, clash: int) -> list[bytes]:
    """The names of files and folders that have a hash."""
    found = {
        name
        for items in batches()
        for path in items.paths
        for name in map(names.encode, paths.names(path))
        if int(hashes_of([name])[0]) == clash
    }
    return sorted(found)


def _cut(weights: Weights, car_bytes: int, limit: int) -> list[int]:
    """Ends of containers: as few as possible, each cut as close to an equal share as the limits allow."""
    total = weights.items

    def reach(start: int) -> int:
        """The largest possible end of a container that starts here."""
        by_data = weights.first("data", weights.data(start) + car_bytes, "right") - 1
        budget = weights.weight(start) + limit - weights.opening(start)
        by_weight = weights.first("weight", budget, "right") - 1
        return max(start + 1, min(by_data, by_weight))  # one item alone: measured afterwards

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
    all_bytes = weights.weight(total)
    for k, first in enumerate(earliest):
        if cuts[-1] >= total:  # too early: a container would be too large
            return latest
        left = len(earliest) - k
        so_far = weights.weight(cuts[-1])
        fair = so_far + (all_bytes - so_far) / left
        nearest = weights.first("weight", fair, "left")
        if nearest > 0 and fair - weights.weight(nearest - 1) < weights.weight(nearest) - fair:
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
