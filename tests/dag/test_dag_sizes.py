"""Sizes known before the bytes: links, messages, varints, file shapes, HAMT nodes."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.dag import balanced, cid, dagpb, hamt, hamt_trie, unixfs, varint
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout import ItemsBuilder, Kind, compute_layout, tree

from . import hamt_nodes, oracle

NUMBERS = st.integers(0, 2**63 - 1) | st.sampled_from(
    [2 ** (7 * k) + d for k in range(1, 9) for d in (-1, 0)]
)
LENGTHS = st.integers(0, 400) | st.integers(16_000, 17_000)
PROFILES = st.builds(Profile, chunk=st.integers(1, 8), width=st.integers(2, 4), hamt_threshold=st.just(300))


def sizes(profile: Profile) -> oracle.Sizes:
    return oracle.Sizes(profile.chunk, profile.width, profile.hamt_threshold)


@given(NUMBERS)
def test_varint_length_is_that_of_its_bytes(value: int) -> None:
    encoded = varint.encode(value)
    assert encoded == oracle.varint(value)
    assert varint.length(value) == len(encoded)
    assert varint.lengths(np.array([value], dtype=np.int64)).tolist() == [len(encoded)]
    assert varint.decode(encoded) == (value, len(encoded))


@given(st.lists(st.tuples(LENGTHS, NUMBERS), max_size=5))
def test_link_sizes_are_those_of_the_encoded_links(links: list[tuple[int, int]]) -> None:
    target = bytes(36)
    empty = len(dagpb.encode_node([], b""))
    encoded = [
        len(dagpb.encode_node([dagpb.Link(bytes(name), target, tsize)], b"")) - empty for name, tsize in links
    ]
    assert [dagpb.link_size(name, tsize) for name, tsize in links] == encoded
    names = np.array([name for name, _ in links], dtype=np.int64)
    tsizes = np.array([tsize for _, tsize in links], dtype=np.int64)
    assert dagpb.link_sizes(names, tsizes).tolist() == encoded


@given(LENGTHS)
def test_data_size_is_that_of_the_encoded_field(length: int) -> None:
    assert dagpb.data_size(length) == len(dagpb.encode_node([], bytes(length)))


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=20))
def test_file_message_size_is_its_length(blocksizes: list[int]) -> None:
    message = unixfs.file_message(blocksizes)
    assert unixfs.file_message_size(np.array(blocksizes, dtype=np.int64)) == len(message)
    expected = oracle.number(1, 2) + oracle.number(3, sum(blocksizes))
    assert message == expected + b"".join(oracle.number(4, size) for size in blocksizes)


@given(LENGTHS)
def test_symlink_block_size_is_its_length(length: int) -> None:
    block = unixfs.symlink_block(b"x" * length)
    assert unixfs.symlink_block_size(length) == len(block)
    assert block == oracle.symlink(b"x" * length).block


@given(st.sets(st.integers(0, 255), min_size=1))
def test_hamt_message_size_is_that_of_its_highest_slot(slots: set[int]) -> None:
    assert unixfs.hamt_message_size(max(slots)) == len(unixfs.hamt_message(slots))


def test_plain_folder_data_is_type_directory_alone() -> None:
    assert dagpb.encode_node([], unixfs.DIRECTORY) == b"\x0a\x02\x08\x01"
    assert unixfs.PLAIN_DIRECTORY_DATA == 4


@given(PROFILES, st.integers(0, 600))
@settings(deadline=None)
def test_shape_and_extent_are_those_of_the_encoded_dag(profile: Profile, size: int) -> None:
    root = oracle.file(bytes(k % 251 for k in range(size)), sizes(profile))
    nodes = list(root.preorder())
    shape = balanced.shape(size, profile)
    assert shape.size.tolist() == [len(node.block) for node in nodes]
    assert shape.tsize.tolist() == [node.tsize for node in nodes]
    assert shape.length.tolist() == [node.length for node in nodes]
    assert shape.count.tolist() == [len(list(node.preorder())) for node in nodes]
    places = {id(node): place for place, node in enumerate(nodes)}
    parents = [-1] * len(nodes)
    for place, node in enumerate(nodes):
        for child in node.children:
            parents[places[id(child)]] = place
    assert shape.parent.tolist() == parents
    starts, at = [], 0
    for node in nodes:
        starts.append(at)
        at += 0 if node.children else node.length
    assert shape.start.tolist() == starts
    extent = balanced.extent(size, profile)
    assert extent.size == len(root.block)
    assert extent.tsize == root.tsize
    assert extent.span == sum(len(oracle.section(node)) for node in nodes)
    assert extent.count == len(nodes)


@pytest.mark.parametrize(
    ("size", "nodes"),
    [
        (0, 0),
        (1, 0),
        (1 << 20, 0),
        ((1 << 20) + 1, 1),
        (1 << 30, 1),
        ((1 << 30) + 1, 3),
        (2 << 30, 3),
        (1 << 40, 1025),
        ((1 << 40) + 1, 1028),
    ],
)
def test_profile_has_1024_links_a_node_and_leaves_at_one_depth(size: int, nodes: int) -> None:
    leaves = max(1, -(-size >> 20))
    assert balanced.leaves_of(size, UNIXFS_V1_2025) == leaves
    assert balanced.extent(size, UNIXFS_V1_2025).count == leaves + nodes


@pytest.mark.parametrize("size", [0, 1 << 20, (1 << 20) + 1, 1 << 30, (1 << 30) + 1, (3 << 30) - 7])
def test_extent_equals_shape_under_the_real_profile(size: int) -> None:
    extent = balanced.extent(size, UNIXFS_V1_2025)
    shape = balanced.shape(size, UNIXFS_V1_2025)
    assert (extent.size, extent.tsize, extent.count) == (shape.size[0], shape.tsize[0], len(shape.size))
    assert extent.span == balanced.section_sizes(shape.size).sum()
    assert int(shape.length[shape.height == 0].sum()) == size


def test_shapes_that_are_asked_for_twice_are_equal() -> None:
    """A cached shape must not be changed by the one that holds it."""
    profile = Profile(chunk=2, width=2)
    for size in (8, 16, 9, 8, 16):
        shape = balanced.shape(size, profile)
        assert shape.parent[0] == -1
        assert shape.start.tolist()[0] == 0


@given(st.sets(st.binary(min_size=1, max_size=6), min_size=1, max_size=700), st.integers(0, 40))
@settings(deadline=None, max_examples=40)
def test_hamt_measures_are_those_of_the_encoded_nodes(names: set[bytes], length: int) -> None:
    entries = [(name, oracle.raw(name * length)) for name in sorted(names)]
    trie = hamt_trie.trie(hamt.hashes_of([name for name, _ in entries]))
    leaves = np.array([len(node.block) for _, node in entries], dtype=np.int64)
    spans = np.array([len(oracle.section(node)) for _, node in entries], dtype=np.int64)
    lengths = np.array([len(name) for name, _ in entries], dtype=np.int32)
    trie.measure(lengths, leaves, spans, np.ones(len(entries), dtype=np.int32))
    expected = [node for node in oracle.hamt(entries, 0).preorder() if node.cid[1] == 0x70]
    assert trie.size.tolist() == [len(node.block) for node in expected]
    assert trie.tsize.tolist() == [node.tsize for node in expected]
    assert trie.count.tolist() == [len(list(node.preorder())) for node in expected]
    assert trie.span.tolist() == [
        sum(len(oracle.section(below)) for below in node.preorder()) for node in expected
    ]


def test_name_hash_is_murmur3_x64_64() -> None:
    """Its published values: of nothing, zeros; of `hello`, the first half of the 128-bit hash."""
    assert hamt.name_hash(b"") == bytes(8)
    assert hamt.name_hash(b"hello") == bytes.fromhex("cbd8a7b341bd9b02")


def test_names_of_one_hash_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "hashes_of", lambda names: np.zeros(len(names), dtype=np.uint64))
    rows = [(b"d\0one", Kind.FILE, 1), (b"d\0two", Kind.FILE, 1)]
    items = ItemsBuilder().extend(rows).build()
    with pytest.raises(ValueError, match="same hash, rename one of them.*one.*two"):
        compute_layout(items, Profile(hamt_threshold=20))


@given(
    st.sets(
        st.integers(0, 2**64 - 1) | st.integers(0, 600) | st.integers(0, 9).map(lambda k: k << 56), min_size=1
    )
)
@settings(deadline=None, max_examples=60)
def test_trie_in_columns_is_the_one_made_entry_by_entry(hashes: set[int]) -> None:
    """Also where hashes share many bytes, so that the trie is deep."""
    keys = sorted(hashes)
    names = [b"%d" % key for key in keys]
    root = hamt_nodes.trie_of([(key.to_bytes(8, "big"), k) for k, key in enumerate(keys)], names)
    shuffled = random.Random(1).sample(range(len(keys)), len(keys))
    trie = hamt_trie.trie(np.array([keys[k] for k in shuffled], dtype=np.uint64))
    of_nodes, of_entries = trie.places()
    found: dict[int, bytes | None] = dict.fromkeys(of_nodes.tolist())
    links = zip(of_entries.tolist(), trie.slots.tolist(), trie.order.tolist(), strict=True)
    found |= {place: b"%02X" % slot + names[shuffled[entry]] for place, slot, entry in links}
    assert [found[place] for place in range(len(found))] == hamt_nodes.in_order(root)
    nodes = list(root.nodes())
    assert trie.last_slot.tolist() == [node.slots[-1] for node in nodes]
    assert len(trie.first) == len(nodes)


@given(
    st.lists(
        st.tuples(st.binary(max_size=200), st.sampled_from([cid.RAW, cid.DAG_PB]), st.integers(0, 1 << 40))
    )
)
def test_links_in_columns_give_the_same_bytes_as_links_one_by_one(
    links: list[tuple[bytes, int, int]],
) -> None:
    digests = [k.to_bytes(32, "big") for k in range(len(links))]
    targets = [cid.of_digest(codec, digest) for (_, codec, _), digest in zip(links, digests, strict=True)]
    one_by_one = [dagpb.Link(name, at, tsize) for (name, _, tsize), at in zip(links, targets, strict=True)]
    in_columns = dagpb.encode_links(
        [name for name, _, _ in links],
        [at[:4] for at in targets],
        b"".join(digests),
        [t for _, _, t in links],
    )
    assert in_columns + dagpb.data_field(b"data") == dagpb.encode_node(one_by_one, b"data")
