"""PieceCommitment against the oracle, whatever the size and however the data is split."""

import random

import numpy as np
import pytest

from ptolemy_core import kernel
from ptolemy_core.commp import MAX_PAYLOAD, SUBTREE, PieceCommitment, capacity, height, piece_size, zero_root
from ptolemy_core.commp import commitment as commitment_module

from . import oracle

DATA = random.Random(7).randbytes(4 * SUBTREE)
SMALL = 127 * 8

EDGES = [0, 1, 64, 65, 126, 127, 128, 129]
EDGES += [(127 << k) + more for k in range(1, 8) for more in (-1, 0, 1)]


@pytest.fixture
def small_subtrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subtrees of 1016 bytes, so that a few KiB make a deep tree of many subtrees."""
    monkeypatch.setattr(commitment_module, "SUBTREE", SMALL)
    monkeypatch.setattr(commitment_module, "_SUBTREE_HEIGHT", height(1024))


@pytest.mark.parametrize("size", EDGES)
def test_root_and_sizes_at_each_boundary(size: int) -> None:
    commitment = PieceCommitment(DATA[:size])
    root, piece = oracle.commitment(DATA[:size])
    assert (commitment.digest(), commitment.size, commitment.piece_size) == (root, size, piece)
    assert commitment.hexdigest() == root.hex()


@pytest.mark.usefixtures("small_subtrees")
@pytest.mark.parametrize(
    "size", [*EDGES, *range(SMALL * 2 - 1, SMALL * 20, 509), *(SMALL * n for n in range(20))]
)
def test_root_over_many_subtrees(size: int) -> None:
    assert PieceCommitment(DATA[:size]).digest() == oracle.commitment(DATA[:size])[0]


@pytest.mark.usefixtures("small_subtrees")
@pytest.mark.parametrize("seed", range(30))
def test_any_split_of_updates_gives_the_same_root(seed: int) -> None:
    draw = random.Random(seed)
    size = draw.randrange(SMALL * 12)
    commitment, at = PieceCommitment(), 0
    while at < size:
        step = draw.choice([0, 1, 127, SMALL - 1, SMALL, SMALL + 1, draw.randrange(SMALL * 4)])
        commitment.update(DATA[at : min(at + step, size)])
        at += step
        if draw.random() < 0.3:
            done = min(at, size)
            assert commitment.digest() == oracle.commitment(DATA[:done])[0]  # and go on
    assert (commitment.digest(), commitment.size) == (oracle.commitment(DATA[:size])[0], size)


@pytest.mark.parametrize("size", [SUBTREE - 1, SUBTREE, SUBTREE + 1, 3 * SUBTREE + 1, 4 * SUBTREE])
def test_real_subtrees_agree_with_one_root_over_the_whole_piece(size: int) -> None:
    whole = kernel.subtree_root(DATA[:size] + bytes(capacity(piece_size(size)) - size))
    commitment = PieceCommitment(DATA[:1000])
    commitment.update(memoryview(DATA)[1000:size])
    assert commitment.digest() == whole


@pytest.mark.usefixtures("small_subtrees")
def test_a_copy_goes_its_own_way() -> None:
    one = PieceCommitment(DATA[:5000])
    two = one.copy()
    one.update(b"one")
    two.update(b"second")
    assert one.digest() == oracle.commitment(DATA[:5000] + b"one")[0]
    assert two.digest() == oracle.commitment(DATA[:5000] + b"second")[0]
    assert (one.size, two.size) == (5003, 5006)


def test_update_takes_what_hashlib_takes() -> None:
    expected = PieceCommitment(DATA[:300]).digest()
    array = np.frombuffer(DATA[:300], dtype=np.uint8)
    for data in (bytearray(DATA[:300]), memoryview(DATA)[:300], array, array.view(np.uint16).reshape(3, 50)):
        assert PieceCommitment(data).digest() == expected
    empty = PieceCommitment(np.empty(0, dtype=np.uint8))
    empty.update(bytearray())
    assert empty.size == 0


def test_memory_is_one_subtree_and_a_root_per_level() -> None:
    commitment = PieceCommitment(DATA[: 3 * SUBTREE + 5])
    assert len(commitment._pending) == 5
    assert len(commitment._roots) == 2


def test_zeros_are_the_zero_root() -> None:
    for levels in range(2, 12):
        assert PieceCommitment(bytes(127 << (levels - 2))).digest() == zero_root(levels)
    assert zero_root(0) == bytes(32)


def test_more_than_the_largest_piece_is_refused_and_leaves_no_trace() -> None:
    commitment = PieceCommitment(b"kept")
    commitment._size = MAX_PAYLOAD - 1
    with pytest.raises(ValueError, match=f"at most {MAX_PAYLOAD}"):
        commitment.update(b"ab")
    assert commitment.size == MAX_PAYLOAD - 1


@pytest.mark.parametrize(
    ("payload", "piece"),
    [
        (0, 128),
        (1, 128),
        (127, 128),
        (128, 256),
        (254, 256),
        (255, 512),
        (1 << 30, 2 << 30),
        (34_091_302_912, 32 << 30),
        (34_091_302_913, 64 << 30),
        (MAX_PAYLOAD, 64 << 30),
    ],
)
def test_piece_size_is_the_smallest_power_of_two_that_holds_the_payload(payload: int, piece: int) -> None:
    assert piece_size(payload) == piece
    assert payload <= capacity(piece)
    assert piece == 128 or capacity(piece // 2) < payload
    assert 32 << height(piece) == piece


def test_sizes_that_no_piece_has_are_refused() -> None:
    for payload in (-1, MAX_PAYLOAD + 1):
        with pytest.raises(ValueError, match="a piece holds 0 to"):
            piece_size(payload)
    for piece in (0, 64, 127, 129, 384, 128 << 30):
        with pytest.raises(ValueError, match="a piece's size is a power of two"):
            capacity(piece)
