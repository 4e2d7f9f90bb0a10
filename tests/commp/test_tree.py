"""PieceTree: the same root as PieceCommitment, from subtrees in any order."""

import random

import pytest

from ptolemy_core import kernel
from ptolemy_core.commp import PieceCommitment, PieceTree, payload_root

DATA = random.Random(11).randbytes(40_000)
SUBTREE = 127 * 16

SIZES = [0, 1, 65, 126, 127, 128, 255, SUBTREE // 2, SUBTREE - 127, SUBTREE - 1, SUBTREE, SUBTREE + 1]
SIZES += [SUBTREE + 127, 2 * SUBTREE - 1, 2 * SUBTREE, 2 * SUBTREE + 1, 3 * SUBTREE, 7 * SUBTREE + 5, 40_000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subtree", [127, 254, SUBTREE, 127 << 13])
def test_any_order_gives_the_root_of_the_stream(size: int, subtree: int) -> None:
    tree = PieceTree(size, subtree)
    order = list(range(tree.count))
    random.Random(size).shuffle(order)
    for index in order:
        start, end = tree.payload_range(index)
        tree.set(index, tree.subtree_root_of(DATA[start:end]))
    expected = PieceCommitment(DATA[:size])
    assert (tree.digest(), tree.piece_size) == (expected.digest(), expected.piece_size)


def test_a_payload_below_one_subtree_is_a_piece_smaller_than_the_subtree() -> None:
    tree = PieceTree(300, SUBTREE)
    assert (tree.count, tree.piece_size, tree.subtree_height) == (1, 512, 4)
    assert tree.payload_range(0) == (0, 300)
    root = tree.subtree_root_of(DATA[:300])
    assert root == payload_root(DATA[:300])
    tree.set(0, root)
    assert tree.digest() == root


def test_whole_subtrees_take_the_roots_of_the_kernel() -> None:
    tree = PieceTree(3 * SUBTREE, SUBTREE)
    for index, root in enumerate(kernel.subtree_roots(DATA[: 3 * SUBTREE], SUBTREE)):
        tree.set(index, root.tobytes())
    assert tree.digest() == PieceCommitment(DATA[: 3 * SUBTREE]).digest()


def test_ranges_cover_the_payload_once() -> None:
    tree = PieceTree(2 * SUBTREE + 9, SUBTREE)
    assert [tree.payload_range(i) for i in range(tree.count)] == [
        (0, SUBTREE),
        (SUBTREE, 2 * SUBTREE),
        (2 * SUBTREE, 2 * SUBTREE + 9),
    ]


def test_missing_subtrees_are_named_and_no_root_is_given() -> None:
    tree = PieceTree(4 * SUBTREE, SUBTREE)
    tree.set(2, bytes(32))
    assert tree.missing() == [0, 1, 3]
    with pytest.raises(ValueError, match="3 of 4 subtrees are not set, the first is 0"):
        tree.digest()


def test_what_does_not_fit_is_refused() -> None:
    tree = PieceTree(SUBTREE + 1, SUBTREE)
    for index in (-1, 2):
        with pytest.raises(IndexError, match="of 2"):
            tree.set(index, bytes(32))
        with pytest.raises(IndexError, match="of 2"):
            tree.payload_range(index)
    with pytest.raises(ValueError, match="32 bytes"):
        tree.set(0, bytes(31))
    with pytest.raises(ValueError, match="more than a subtree"):
        tree.subtree_root_of(DATA[: SUBTREE + 1])
    with pytest.raises(ValueError, match="more than a subtree"):
        PieceTree(100, SUBTREE).subtree_root_of(DATA[:101])
    with pytest.raises(ValueError, match=r"127 \* 2\*\*k"):
        PieceTree(100, 1 << 20)
