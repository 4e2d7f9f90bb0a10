"""Plans: files split at shard_size, containers in path order, as few as fit, of exact and roughly equal sizes."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core import commp
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import PlanError
from ptolemy_core.layout import (
    HEADER_SIZE,
    WHOLE,
    Items,
    ItemsBuilder,
    build_tree,
    compute_layout,
    measure_tree,
)
from ptolemy_core.layout.plan import PlannedContainer, plan, split
from ptolemy_core.source import Inputs
from ptolemy_core.staging.build import build_car
from ptolemy_core.tree import Kind
from tests.car import scene
from tests.dag import oracle
from tests.dag.trees import folders

GIB = 1 << 30
NAMES = st.sampled_from([b"a", b"b", b"long name " * 12, b"x.ptolemy0", b"c", b"dd"])
PATHS = st.lists(NAMES, max_size=5).map(b"\0".join)


def files(*sizes: int) -> Items:
    return ItemsBuilder().extend((b"f%05d" % k, Kind.FILE, size) for k, size in enumerate(sizes)).build()


def car_size_of(items: Items, start: int, stop: int, profile: Profile) -> int:
    """The size of a CAR of these items, by their whole layout."""
    part = items[start:stop]
    return HEADER_SIZE + int(measure_tree(build_tree(part), part, profile).span[0])


def greedy(items: Items, car_bytes: int, profile: Profile) -> list[tuple[int, int]]:
    """The fewest containers in path order: each takes all that fits, measured exactly."""
    capacity = commp.capacity(commp.piece_size(car_bytes))
    data = np.where(items.kinds == Kind.FILE, items.sizes, 0).tolist()
    out = []
    start = 0
    while start < len(items):
        stop = start + 1
        while (
            stop < len(items)
            and sum(data[start : stop + 1]) <= car_bytes
            and car_size_of(items, start, stop + 1, profile) <= capacity
        ):
            stop += 1
        out.append((start, stop))
        start = stop
    return out


def check(items: Items, planned: list[PlannedContainer], car_bytes: int, profile: Profile) -> None:
    """What holds of every plan."""
    capacity = commp.capacity(commp.piece_size(car_bytes))
    edges = [container.start for container in planned] + [planned[-1].stop]
    assert edges == [0] + [container.stop for container in planned]
    assert edges[-1] == len(items)
    assert all(a < b for a, b in itertools.pairwise(edges))
    for container in planned:
        assert container.data_bytes == items[container.start : container.stop].data_bytes <= car_bytes
        assert container.car_size == car_size_of(items, container.start, container.stop, profile)
        assert container.car_size <= capacity
        assert container.piece_size == commp.piece_size(container.car_size)


@st.composite
def inputs(draw: st.DrawFn) -> tuple[Items, int, Profile]:
    """Files, links and folders of a shrunk profile, split; and a car_size that may hold few or many."""
    chunk = draw(st.sampled_from([512, 4096]))
    profile = Profile(chunk=chunk, width=4, hamt_threshold=draw(st.sampled_from([400, 3000, 262_144])))
    car = draw(st.integers(1, 12)) * profile.size_unit
    sizes = st.integers(0, 60) | st.integers(0, 2 * car) | st.sampled_from([profile.size_unit, chunk, car])
    rows = draw(
        st.dictionaries(
            st.tuples(PATHS, st.integers(0, 99)), st.tuples(sizes, st.integers(0, 9)), max_size=40
        )
    )
    builder = ItemsBuilder()
    for path, kind, size in sorted(
        (folder + b"\0f%02d" % k if folder else b"f%02d" % k, max(Kind.FILE, Kind(max(0, odd - 7))), size)
        for (folder, k), (size, odd) in rows.items()
    ):
        builder.add(path, kind, size if kind == Kind.FILE else 20 if kind == Kind.SYMLINK else 0)
    shard = (
        profile.size_unit
        if car <= 3 * profile.size_unit
        else draw(st.integers(1, car // profile.size_unit // 2)) * profile.size_unit
    )
    items, _ = split(builder.build(), shard)
    return items, car, profile


@given(inputs())
@settings(deadline=None, max_examples=200)
def test_containers_are_few_in_order_and_fit(case: tuple[Items, int, Profile]) -> None:
    """Cuts are found on an estimate, so a container more than the fewest is allowed, and one in four."""
    items, car_bytes, profile = case
    planned = plan(items, car_bytes, profile)
    if not len(items):
        assert planned == []
        return
    check(items, planned, car_bytes, profile)
    fewest = len(greedy(items, car_bytes, profile))
    assert fewest <= len(planned) <= fewest + 1 + fewest // 4


@given(st.lists(st.integers(1, 4 * GIB), min_size=1, max_size=60), st.integers(1, 31))
@settings(deadline=None, max_examples=60)
def test_large_files_fill_as_few_containers_as_a_greedy_packing(sizes: list[int], car_size: int) -> None:
    """Where data decides and not names, the plan is minimal."""
    items, _ = split(files(*sizes), GIB)
    planned = plan(items, car_size * GIB)
    check(items, planned, car_size * GIB, UNIXFS_V1_2025)
    assert len(planned) == len(greedy(items, car_size * GIB, UNIXFS_V1_2025))


@pytest.mark.parametrize("car_size", range(1, 32))
def test_every_car_size_has_room_for_its_data_and_the_structure(car_size: int) -> None:
    items, _ = split(files(100 * GIB), GIB)
    planned = plan(items, car_size * GIB)
    check(items, planned, car_size * GIB, UNIXFS_V1_2025)
    assert len(planned) == -(-100 // car_size)
    full = [container for container in planned if container.data_bytes == car_size * GIB]
    assert all(c.piece_size == commp.piece_size(car_size * GIB) for c in full)


@pytest.mark.parametrize(
    ("count", "size", "car_size"), [(100, GIB, 31), (997, GIB // 3, 31), (50_000, 100_000, 1), (64, GIB, 8)]
)
def test_equal_files_make_containers_of_equal_size(count: int, size: int, car_size: int) -> None:
    planned = plan(files(*[size] * count), car_size * GIB)
    counts = [container.stop - container.start for container in planned]
    assert len(planned) > 1
    assert max(counts) - min(counts) <= max(1, count // 500)


def test_many_tiny_files_close_a_container_before_its_piece_is_full() -> None:
    """Their structure is larger than their data; a shrunk piece shows it with few of them."""
    profile = Profile(chunk=256, width=4, hamt_threshold=2000)
    items = (
        ItemsBuilder().extend((b"dir%d\0name%06d" % (k // 100, k), Kind.FILE, 1) for k in range(1000)).build()
    )
    planned = plan(items, 4 * profile.size_unit, profile)
    check(items, planned, 4 * profile.size_unit, profile)
    fewest = len(greedy(items, 4 * profile.size_unit, profile))
    assert fewest > 5
    assert len(planned) <= fewest + 1 + fewest // 4


def test_empty_files_links_and_folders_are_planned_too() -> None:
    rows = [(b"a", Kind.FILE, 0), (b"b", Kind.DIRECTORY, 0), (b"c", Kind.SYMLINK, 5)]
    (only,) = plan(ItemsBuilder().extend(rows).build(), GIB)
    assert (only.start, only.stop, only.data_bytes) == (0, 3, 0)
    assert plan(ItemsBuilder().build(), GIB) == []


def test_links_do_not_count_as_data() -> None:
    items = ItemsBuilder().extend([(b"a", Kind.FILE, GIB), (b"b", Kind.SYMLINK, 4000)]).build()
    (only,) = plan(items, GIB)
    assert only.data_bytes == GIB


@pytest.mark.parametrize(
    ("size", "lengths"),
    [
        (0, [0]),
        (1, [1]),
        (99, [99]),
        (100, [100]),
        (101, [100, 1]),
        (200, [100, 100]),
        (201, [100, 100, 1]),
        (1000, [100] * 10),
    ],
)
def test_split_has_no_large_and_no_empty_shard(size: int, lengths: list[int]) -> None:
    items, origin = split(files(5, size, 7), 100)
    mine = origin == 1
    assert items.sizes[mine].tolist() == lengths
    numbers = [WHOLE] if len(lengths) == 1 else list(range(len(lengths)))
    assert items.shards[mine].tolist() == numbers
    assert items.starts[mine].tolist() == [100 * k for k in range(len(lengths))]
    assert [items.paths[k] for k in np.flatnonzero(mine)] == [b"f00001"] * len(lengths)
    assert origin.tolist() == sorted(origin.tolist())
    assert items.data_bytes == 12 + size


def test_split_leaves_folders_and_links_alone() -> None:
    rows = [(b"a", Kind.DIRECTORY, 0), (b"b", Kind.SYMLINK, 300), (b"c", Kind.FILE, 300)]
    items, origin = split(ItemsBuilder().extend(rows).build(), 100)
    assert origin.tolist() == [0, 1, 2, 2, 2]
    assert items.shards.tolist() == [WHOLE, WHOLE, 0, 1, 2]
    assert items.sizes.tolist() == [0, 300, 100, 100, 100]


def test_shard_larger_than_car_size_is_refused() -> None:
    with pytest.raises(PlanError, match=f"{2 * GIB} bytes is larger than car_size, {GIB} bytes"):
        plan(files(2 * GIB), GIB)


def test_item_that_no_piece_can_hold_is_refused_with_a_remedy() -> None:
    """Only under a profile of tiny chunks: in the real one, every size leaves room."""
    profile = Profile(chunk=16, width=4)
    with pytest.raises(PlanError, match="use a larger car_size"):
        plan(files(64), 64, profile)


@given(folders(max_size=12), st.integers(1, 4), st.sampled_from([60, 400, 262_144]))
@settings(deadline=None, max_examples=120)
def test_planned_size_is_the_built_cars(content: oracle.Content, car_size: int, threshold: int) -> None:
    profile = Profile(chunk=512, width=2, hamt_threshold=threshold)
    with tempfile.TemporaryDirectory() as folder:
        items, source = scene.whole(scene.write_tree(folder + "/tree", content))
        for container in plan(items, car_size * profile.size_unit, profile):
            rows = slice(container.start, container.stop)
            part = Inputs(
                source.source,
                items[rows],
                source.stamps.take(rows),
                {k - rows.start: target for k, target in source.targets.items()},
            )
            built = build_car(compute_layout(items[rows], profile), part, folder, ".part")
            assert Path(folder, built.file_name).stat().st_size == container.car_size
            assert built.piece_size == container.piece_size
