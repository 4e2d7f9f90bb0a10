"""Names within a CAR: shards, real files that look like shards, and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import HEADER_SIZE, WHOLE, ItemsBuilder, compute_layout
from ptolemy_core.layout.names import decode, encode
from ptolemy_core.tree import Kind
from tests.dag import oracle

# what looks like a mark must come often
PARTS = st.sampled_from([b".ptolemy", b"_", b"0", b"7", b"01", b"\n", b"x", b".bin", b".", b"\xff"])
NAMES = st.lists(PARTS, min_size=1, max_size=8).map(b"".join) | st.binary(min_size=1, max_size=30)
SHARDS = st.none() | st.integers(0, 40)


@given(NAMES, SHARDS)
@settings(max_examples=500)
def test_decode_takes_encode_back(name: bytes, shard: int | None) -> None:
    assert decode(encode(name, shard)) == (name, shard)


@given(NAMES, SHARDS, NAMES, SHARDS)
@settings(max_examples=500)
def test_two_entries_never_have_one_name(
    name: bytes, shard: int | None, other: bytes, other_shard: int | None
) -> None:
    if (name, shard) != (other, other_shard):
        assert encode(name, shard) != encode(other, other_shard)


@pytest.mark.parametrize(
    ("name", "shard", "encoded"),
    [
        (b"b.bin", None, b"b.bin"),
        (b"b.bin", 0, b"b.bin.ptolemy0"),
        (b"b.bin", 12, b"b.bin.ptolemy12"),
        (b"b.bin.ptolemy0", None, b"b.bin.ptolemy0.ptolemy_"),
        (b"b.bin.ptolemy007", None, b"b.bin.ptolemy007.ptolemy_"),
        (b"b.bin.ptolemy0", 3, b"b.bin.ptolemy0.ptolemy3"),
        (b"x.ptolemy_", None, b"x.ptolemy_.ptolemy_"),
        (b"x.ptolemy0.ptolemy_", None, b"x.ptolemy0.ptolemy_.ptolemy_"),
        (b"x.ptolemy", None, b"x.ptolemy"),
        (b"x.ptolemy0.txt", None, b"x.ptolemy0.txt"),
        (b"x.ptolemy0\n", None, b"x.ptolemy0\n"),
        (b".ptolemy3", None, b".ptolemy3.ptolemy_"),
        (b"\xff.ptolemy1", None, b"\xff.ptolemy1.ptolemy_"),
        (
            "x.ptolemy\N{ARABIC-INDIC DIGIT ONE}".encode(),
            None,
            "x.ptolemy\N{ARABIC-INDIC DIGIT ONE}".encode(),
        ),
    ],
)
def test_names_as_documented(name: bytes, shard: int | None, encoded: bytes) -> None:
    assert encode(name, shard) == encoded
    assert decode(encoded) == (name, shard)


def test_real_file_stands_beside_the_shards_it_is_named_like() -> None:
    """Links are in the order of the names within the CAR, not of the paths."""
    profile = Profile(chunk=4, width=2)
    builder = ItemsBuilder()
    builder.add(b"b.bin", Kind.FILE, 8, 0, 0)
    builder.add(b"b.bin", Kind.FILE, 8, 8, 1)
    builder.add(b"b.bin", Kind.FILE, 1, 16, 2)
    builder.add(b"b.bin.ptolemy0", Kind.FILE, 3)
    builder.add(b"d.ptolemy1\0f", Kind.FILE, 1)
    builder.add(b"d.ptolemy10", Kind.FILE, 2)
    layout = compute_layout(builder.build(), profile)
    data = bytes(range(17))
    tree = {
        b"b.bin.ptolemy0": data[:8],
        b"b.bin.ptolemy1": data[8:16],
        b"b.bin.ptolemy2": data[16:],
        b"b.bin.ptolemy0.ptolemy_": b"abc",
        b"d.ptolemy1.ptolemy_": {b"f": b"x"},
        b"d.ptolemy10.ptolemy_": b"yz",
    }
    nodes = list(oracle.dag(tree, oracle.Sizes(4, 2)).preorder())
    assert layout.size.tolist() == [len(node.block) for node in nodes]
    assert layout.tsize.tolist() == [node.tsize for node in nodes]
    links = np.flatnonzero(layout.parent == 0)
    assert [layout.names[k] for k in layout.name[links].tolist()] == sorted(tree)


@pytest.mark.parametrize(
    "rows",
    [
        [(b"b", WHOLE), (b"a", WHOLE)],
        [(b"a", WHOLE), (b"a", WHOLE)],
        [(b"a\0b", WHOLE), (b"a\0a", WHOLE)],
        [(b"a", 0), (b"a", WHOLE)],
    ],
)
def test_items_out_of_path_order_are_refused(rows: list[tuple[bytes, int]]) -> None:
    builder = ItemsBuilder()
    for path, shard in rows:
        builder.add(path, Kind.FILE, 1, 0, shard)
    with pytest.raises(ValueError, match="not in path order"):
        compute_layout(builder.build())


def test_car_of_nothing_is_an_empty_folder() -> None:
    layout = compute_layout(ItemsBuilder().build())
    assert (len(layout), layout.car_size) == (1, HEADER_SIZE + 41)


@pytest.mark.parametrize("size", [0, 5, 1 << 20, (1 << 30) + 1])
def test_lone_empty_path_is_the_root_itself(size: int) -> None:
    builder = ItemsBuilder()
    builder.add(b"", Kind.FILE, size)
    layout = compute_layout(builder.build())
    assert layout.roots.tolist() == [0]
    assert layout.length[0] == size


def test_layout_of_31_gib_takes_no_data_and_no_recursion() -> None:
    builder = ItemsBuilder()
    for shard in range(31):
        builder.add(b"big", Kind.FILE, 1 << 30, shard << 30, shard)
    layout = compute_layout(builder.build())
    assert len(layout) == 1 + 31 * 1025
    assert layout.car_size < 34_091_302_912
    assert (layout.count[layout.roots] == 1025).all()
