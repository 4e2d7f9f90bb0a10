"""Whole trees against the oracle: the layout's blocks are the blocks that the slow builder makes."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import HEADER_SIZE, Block, ItemsBuilder, compute_layout
from ptolemy_core.layout.items import Items
from ptolemy_core.layout.plan import measured
from ptolemy_core.tree import Kind

from . import oracle
from .trees import contents


def items_of(content: oracle.Content) -> Items:
    """The items of a content, in path order."""
    rows: list[tuple[bytes, Kind, int]] = []

    def collect(path: bytes, below: oracle.Content) -> None:
        if isinstance(below, bytes):
            rows.append((path, Kind.FILE, len(below)))
        elif isinstance(below, oracle.Link):
            rows.append((path, Kind.SYMLINK, len(below.target)))
        elif not below:
            rows.append((path, Kind.DIRECTORY, 0))
        else:
            for name, entry in below.items():
                collect(path + b"\0" + name if path else name, entry)

    if content == {}:
        return ItemsBuilder().build()
    collect(b"", content)
    return ItemsBuilder().extend(sorted(rows)).build()


PROFILES = st.builds(
    Profile, chunk=st.integers(1, 8), width=st.integers(2, 4), hamt_threshold=st.sampled_from([4, 120, 400])
)


@given(contents(), PROFILES)
@settings(deadline=None, max_examples=300)
def test_layout_is_that_of_the_encoded_blocks(content: oracle.Content, profile: Profile) -> None:
    root = oracle.dag(content, oracle.Sizes(profile.chunk, profile.width, profile.hamt_threshold))
    layout = compute_layout(items_of(content), profile)
    nodes = list(root.preorder())
    assert layout.size.tolist() == [len(node.block) for node in nodes]
    assert layout.tsize.tolist() == [node.tsize for node in nodes]
    assert layout.count.tolist() == [len(list(node.preorder())) for node in nodes]
    at, offsets = HEADER_SIZE, []
    for node in nodes:
        offsets.append(at)
        at += len(oracle.section(node))
    assert layout.offset.tolist() == offsets
    assert layout.car_size == at == len(oracle.car(root))
    for place, node in enumerate(nodes):
        head = len(oracle.section(node)) - len(node.block)
        assert layout.data_offset(place) == offsets[place] + head


def test_folder_of_exactly_the_threshold_stays_flat_and_one_byte_more_does_not() -> None:
    """The block of a plain folder decides, its links' sizes included."""
    names = [b"item-%06d.dat" % k for k in range(4436)]
    base = len(oracle.folder({name: oracle.raw(b"") for name in names}, oracle.Sizes(8, 2, 1 << 30)).block)
    one_link = len(oracle.folder({b"x" * 200: oracle.raw(b"")}, oracle.Sizes(8, 2, 1 << 30)).block) - 4 - 200
    rest = 262_144 - base
    assert 0 < rest - one_link < 65_000
    for extra, block_count in ((0, len(names) + 2), (1, None)):
        long = b"z" * (rest - one_link + extra)
        content: Mapping[bytes, oracle.Content] = {**dict.fromkeys(names, b""), long: b""}
        # names of any length: what decides is the block
        root = oracle.dag(content, oracle.Sizes(1 << 20, 1024))
        layout = compute_layout(items_of(content))
        assert layout.size.tolist() == [len(node.block) for node in root.preorder()]
        if block_count:
            assert len(layout) == block_count
            assert layout.size[0] == 262_144
        else:
            assert len(layout) > len(names) + 2
            assert layout.size[0] < 262_144


def test_data_of_a_file_node_starts_where_that_of_its_first_block_does() -> None:
    profile = Profile(chunk=256, width=2)
    layout = compute_layout(ItemsBuilder().extend([(b"a", Kind.FILE, 256 * 11 + 5)]).build(), profile)
    nodes = np.flatnonzero(layout.kind == Block.FILE)
    assert layout.start[nodes].tolist() == layout.start[nodes + 1].tolist()
    assert layout.start[nodes].max() > 0


def test_folders_may_be_nested_deeper_than_a_short_number_counts() -> None:
    depth = 33_000
    items = ItemsBuilder().extend([(b"d\0" * depth + b"f", Kind.FILE, 1)]).build()
    layout = compute_layout(items)
    assert (len(layout), layout.car_size) == (depth + 2, measured(items, 0, 1).car_size)
