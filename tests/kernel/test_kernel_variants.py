"""Every variant that this machine can run gives the oracle's answers."""

import ctypes
import mmap
import random
import sys

import numpy as np
import pytest

from ptolemy_core import kernel
from ptolemy_core.kernel import Kernel

from . import oracle

RANDOM = random.Random(2024)
DATA = RANDOM.randbytes(1 << 20)

# around every boundary of SHA-256's padding: 55 bytes are the most that need one block
EDGES = [
    0,
    1,
    31,
    32,
    54,
    55,
    56,
    57,
    63,
    64,
    65,
    118,
    119,
    120,
    121,
    127,
    128,
    129,
    191,
    192,
    4095,
    4096,
    4097,
]


@pytest.fixture(params=kernel.available())
def variant(request: pytest.FixtureRequest) -> Kernel:
    return Kernel.load(request.param)


def check_ranges(variant: Kernel, data: bytes, offsets: list[int], lengths: list[int]) -> None:
    got = variant.sha256_ranges(data, np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64))
    assert got.shape == (len(offsets), 32)
    assert got.dtype == np.uint8
    assert [row.tobytes() for row in got] == oracle.digests(data, offsets, lengths)


@pytest.mark.parametrize("length", EDGES)
def test_one_message_of_each_edge_length(variant: Kernel, length: int) -> None:
    check_ranges(variant, DATA, [17], [length])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 24, 25, 31, 32, 33, 100])
@pytest.mark.parametrize("length", [0, 55, 64, 1000])
def test_messages_of_equal_length_fill_or_do_not_fill_the_lanes(
    variant: Kernel, count: int, length: int
) -> None:
    check_ranges(variant, DATA, [i * 1009 for i in range(count)], [length] * count)


@pytest.mark.parametrize("seed", range(12))
def test_messages_of_any_lengths_come_back_in_the_order_given(variant: Kernel, seed: int) -> None:
    draw = random.Random(seed)
    lengths = [draw.choice([*EDGES, draw.randrange(9000)]) for _ in range(draw.randrange(1, 120))]
    offsets = [draw.randrange(len(DATA) - length + 1) for length in lengths]
    check_ranges(variant, DATA, offsets, lengths)


def test_one_long_message_among_many_short_ones(variant: Kernel) -> None:
    check_ranges(variant, DATA, [0] * 40, [100] * 20 + [len(DATA)] + [5000] * 19)


def test_ranges_may_overlap_and_touch_the_end(variant: Kernel) -> None:
    size = len(DATA)
    check_ranges(variant, DATA, [0, 0, 1, size - 64, size - 1, size], [size, 64, size - 1, 64, 1, 0])


@pytest.mark.parametrize("levels", range(12))
def test_subtree_root_of_every_small_height(variant: Kernel, levels: int) -> None:
    payload = RANDOM.randbytes(127 << levels)
    assert variant.subtree_root(payload) == oracle.subtree_root(payload)


@pytest.mark.parametrize("payload", [b"\0" * 2032, b"\xff" * 2032, bytes(range(127)) * 16])
def test_subtree_root_of_extreme_bits(variant: Kernel, payload: bytes) -> None:
    assert variant.subtree_root(payload) == oracle.subtree_root(payload)


def test_subtree_root_of_each_single_bit(variant: Kernel) -> None:
    for bit in range(0, 127 * 8, 7):
        payload = (1 << bit).to_bytes(127, "little") * 8
        assert variant.subtree_root(payload) == oracle.subtree_root(payload), bit


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("levels", [0, 2, 3, 5])
def test_subtree_roots_are_those_of_each_subtree(variant: Kernel, count: int, levels: int) -> None:
    size = 127 << levels
    data = DATA[: count * size]
    roots = variant.subtree_roots(data, size)
    assert roots.shape == (count, 32)
    assert [r.tobytes() for r in roots] == [
        oracle.subtree_root(data[i * size :][:size]) for i in range(count)
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="guards a page through Linux's C library")
@pytest.mark.parametrize("levels", [0, 1, 2, 3, 4, 7])
def test_nothing_is_read_behind_the_buffer(variant: Kernel, levels: int) -> None:
    """The payload ends where a page without access begins: reading one byte further kills the process."""
    size = 127 << levels
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    with mmap.mmap(-1, pages + mmap.PAGESIZE) as mapped:
        mapped[pages - size : pages] = payload = DATA[:size]
        guard = ctypes.addressof(ctypes.c_char.from_buffer(mapped, pages))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(guard), mmap.PAGESIZE, 0) == 0
        with memoryview(mapped) as whole, whole[pages - size : pages] as view:
            assert variant.subtree_root(view) == oracle.subtree_root(payload)
            digest = variant.sha256_ranges(view, np.array([0]), np.array([size]))
            assert digest[0].tobytes() == oracle.digests(payload, [0], [size])[0]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.uint8)])
def test_any_contiguous_buffer_is_taken_at_any_alignment(variant: Kernel, kind: object) -> None:
    for start in range(3):
        data = DATA[start : start + 1016]
        assert variant.subtree_root(kind(data)) == oracle.subtree_root(data)  # type: ignore[operator]


def test_large_subtree_is_the_same_as_pure_python(variant: Kernel) -> None:
    payload = RANDOM.randbytes(127 << 13)
    assert variant.subtree_root(payload) == Kernel.load("python").subtree_root(payload)


def test_more_messages_than_are_sorted_together(variant: Kernel) -> None:
    lengths = [RANDOM.randrange(200) for _ in range(9000)]
    check_ranges(variant, DATA, [i * 100 for i in range(9000)], lengths)
