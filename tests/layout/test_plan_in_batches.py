"""A plan made of items in batches is the plan made with all of them in memory, whatever the tree and the batches."""

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.dag import hamt
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import PlanError
from ptolemy_core.layout import Items, ItemsBuilder, Kind, measure, weights
from ptolemy_core.layout.plan import PlannedContainer, measured, plan, plan_batches, split
from tests.dag import hamt_nodes
from tests.layout import reference_plan

UNIT = UNIXFS_V1_2025.size_unit


def batches_of(items: Items, sizes: list[int]) -> list[Items]:
    """The items in batches of these sizes, over and over."""
    out, at, turn = [], 0, 0
    while at < len(items):
        out.append(items[at : at + sizes[turn % len(sizes)]])
        at, turn = at + len(out[-1]), turn + 1
    return out


def outcome(make: Callable[[], list[PlannedContainer]]) -> tuple[list[PlannedContainer], str]:
    """A plan, or what was said where there is none."""
    try:
        return make(), ""
    except PlanError as error:
        return [], str(error)


def is_same(items: Items, sizes: list[int], car_bytes: int, profile: Profile) -> int:
    """See that both plans are the same, or fail alike; how many containers they have."""
    parts = batches_of(items, sizes)
    wanted, failed = outcome(lambda: reference_plan.plan(items, car_bytes, profile))
    assert outcome(lambda: plan_batches(lambda: parts, car_bytes, profile)) == (wanted, failed)
    assert outcome(lambda: plan(items, car_bytes, profile)) == (wanted, failed)
    return len(wanted)


NAMES = st.sampled_from([b"a", b"b", b"x.ptolemy0", b"x.ptolemy_", b"c" * 90, b"\xff", b"dd"])
LEAVES = st.sampled_from([b"f", b"g.ptolemy3", b"h" * 70, b"\xfe\x01", b"i.ptolemy_"])


@st.composite
def trees(draw: st.DrawFn) -> tuple[Items, int, Profile]:
    profile = Profile(
        chunk=draw(st.sampled_from([256, 4096])),
        width=draw(st.sampled_from([2, 4])),
        hamt_threshold=draw(st.sampled_from([60, 400, 3000, 262_144])),
    )
    car = draw(st.integers(1, 12)) * profile.size_unit
    sizes = st.integers(0, 60) | st.integers(0, 2 * car) | st.sampled_from([profile.size_unit, profile.chunk])
    rows = draw(
        st.dictionaries(
            st.tuples(st.lists(NAMES, max_size=4), LEAVES, st.integers(0, 40)).map(
                lambda at: b"\0".join([*at[0], b"%s%d" % at[1:] if at[2] % 2 else b"%d%s" % at[:0:-1]])
            ),
            st.tuples(st.sampled_from([Kind.FILE] * 6 + [Kind.SYMLINK, Kind.DIRECTORY]), sizes),
            max_size=60,
        )
    )
    builder = ItemsBuilder()
    for path, (kind, size) in sorted(rows.items()):
        builder.add(path, kind, {Kind.FILE: size, Kind.SYMLINK: 1 + size % 300}.get(kind, 0))
    items, _ = split(
        builder.build(), draw(st.integers(1, max(1, car // profile.size_unit))) * profile.size_unit
    )
    return items, car, profile


@given(trees(), st.lists(st.integers(1, 7), min_size=1, max_size=4))
@settings(deadline=None, max_examples=40)
def test_odd_trees_have_the_same_plan_in_any_batches(
    case: tuple[Items, int, Profile], sizes: list[int]
) -> None:
    is_same(case[0], sizes, *case[1:])


@pytest.mark.parametrize("seed", range(6))
def test_large_projects_have_the_same_plan_in_any_batches(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes from a byte to many shards; folders of a few files and of thousands; sums in many small blocks."""
    draw = random.Random(seed)
    monkeypatch.setattr(weights, "_BLOCK", draw.choice([7, 64, 1000]))
    monkeypatch.setattr(weights, "_CACHED", draw.choice([1, 3, 256]))
    monkeypatch.setattr(measure, "_WAITING", draw.choice([1, 50, 4096]))
    profile = Profile(chunk=1024, width=8, hamt_threshold=draw.choice([500, 20_000]))
    top = draw.choice([10, 300, 3000])
    builder = ItemsBuilder()
    folders = sorted(
        {b"%03d\0%d" % (draw.randrange(40), draw.randrange(9)) for _ in range(draw.choice([3, 25]))}
    )
    for folder in folders:
        for k in range(draw.choice([1, 5, 100])):
            size = int(draw.lognormvariate(0, 2) * top) if k % 9 else 0
            builder.add(folder + b"\0%05d" % k + b"n" * (k % 40), Kind.FILE, size)
    shard = draw.choice([1, 2]) * profile.size_unit
    items, _ = split(builder.build(), shard)
    for car in (4 * shard, 25 * shard):
        is_same(items, [draw.randrange(1, 300) for _ in range(5)], car, profile)


@pytest.mark.parametrize("count", [1, 2, 4095, 4096, 4097])
@pytest.mark.parametrize("size", [1, UNIT // 9])
def test_any_number_of_files_of_the_real_profile_has_the_same_plan(count: int, size: int) -> None:
    items = ItemsBuilder().extend((b"f%05d" % k, Kind.FILE, size) for k in range(count)).build()
    for car_size in (1, 3, 31):
        is_same(items, [5000, 1], car_size * UNIT, UNIXFS_V1_2025)


@given(st.lists(st.integers(0, 99), max_size=30), st.integers(0, 29), st.integers(1, 5))
@settings(deadline=None, max_examples=50)
def test_a_range_of_items_is_measured_as_the_whole_layout_is(
    sizes: list[int], start: int, count: int
) -> None:
    items = ItemsBuilder().extend((b"f%05d" % k, Kind.FILE, size) for k, size in enumerate(sizes)).build()
    stop = min(start + count, len(items))
    if start < stop:
        assert measured(items, start, stop) == reference_plan.measured(items, start, stop)


@given(
    st.sets(
        st.integers(0, 2**64 - 1) | st.integers(0, 600) | st.integers(0, 9).map(lambda k: k << 56), min_size=1
    )
)
@settings(deadline=None, max_examples=60)
def test_sizes_of_a_trie_from_hashes_alone_are_those_of_its_nodes(hashes: set[int]) -> None:
    """Also where hashes share many bytes, so that the trie is deep."""
    keys = sorted(hashes)
    names = [b"%d" % key for key in keys]
    tsizes = [1 + key % 100_000 for key in keys]
    root = hamt_nodes.trie_of([(key.to_bytes(8, "big"), k) for k, key in enumerate(keys)], names)
    hamt_nodes.measure(root, tsizes, [0] * len(keys), [0] * len(keys))
    shuffled = random.Random(1).sample(range(len(keys)), len(keys))
    folder = measure._Folder(
        hashes=[np.array([keys[k] for k in shuffled], dtype=np.uint64)],
        lengths=[np.array([len(names[k]) for k in shuffled], dtype=np.int32)],
        tsizes=[np.array([tsizes[k] for k in shuffled], dtype=np.int64)],
    )
    found = folder.trie()
    assert (found.tsize[0], found.span[0], found.count[0]) == (root.tsize, root.span, root.count)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_hashes_of_many_names_are_those_of_each(names: list[bytes]) -> None:
    wanted = [int.from_bytes(hamt.name_hash(name), "big") for name in names]
    assert hamt.hashes_of(names).tolist() == wanted


def test_names_of_the_same_hash_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamt.mmh3, "mmh3_x64_128_digest", lambda name: bytes([name[0]] * 16))
    rows = [
        (b"a\0one", Kind.FILE, 1),
        (b"a\0two", Kind.FILE, 1),
        (b"b\0three", Kind.FILE, 1),
        (b"b\0tau", Kind.FILE, 1),
    ]
    items = ItemsBuilder().extend(sorted(rows)).build()
    with pytest.raises(ValueError, match="have the same hash, rename one of them: b'tau, three, two'"):
        plan(items, UNIT, Profile(chunk=1024, hamt_threshold=60))


@pytest.mark.parametrize(
    "paths", [[b"b", b"a"], [b"a", b"a"], [b"", b"a"], [b"a\0x", b"a\0b"], [b"a!", b"a\0b"]]
)
@pytest.mark.parametrize("size", [1, 2])
def test_items_out_of_order_are_refused_in_one_batch_and_in_several(paths: list[bytes], size: int) -> None:
    items = ItemsBuilder().extend((path, Kind.FILE, 1) for path in paths).build()
    with pytest.raises(ValueError, match="not in path order"):
        plan_batches(lambda: batches_of(items, [size]), UNIT)


@pytest.mark.parametrize(
    ("kind", "size"), [(Kind.FILE, 0), (Kind.FILE, 5 * UNIT), (Kind.SYMLINK, 7), (Kind.DIRECTORY, 0)]
)
def test_a_target_that_is_the_only_item_has_the_same_plan(kind: Kind, size: int) -> None:
    items = ItemsBuilder().extend([(b"", kind, size)]).build()
    assert is_same(items, [1], 8 * UNIT, UNIXFS_V1_2025) == 1
