"""Heads of leaves and whole nodes as the compiled kernel writes them, against one node after the other in Python."""

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.car.nodes import Links, encode_node, section
from ptolemy_core.dag import cid
from ptolemy_core.kernel import encode
from ptolemy_core.kernel.blocks import compiled
from ptolemy_core.kernel.encode import LinkColumns, NodeBatch, Sections
from ptolemy_core.layout import Block


@dataclass(frozen=True)
class Blocks:
    """Blocks of a made-up CAR, as columns."""

    kinds: NDArray[np.int8]
    sizes: NDArray[np.int64]
    tsizes: NDArray[np.int64]
    lengths: NDArray[np.int64]
    digests: NDArray[np.uint8]


needs_kernel = pytest.mark.skipif(compiled() is None, reason="no compiled kernel")


def columns(count: int, seed: int) -> Blocks:
    """Blocks of all kinds and sizes, with digests."""
    numbers = np.random.default_rng(seed)
    widths = numbers.integers(0, 62, (2, count))
    return Blocks(
        kinds=numbers.integers(0, 5, count).astype(np.int8),
        sizes=np.zeros(count, dtype=np.int64),
        tsizes=numbers.integers(0, 1 << 62, count) >> widths[0],
        lengths=numbers.integers(0, 1 << 50, count) >> np.minimum(widths[1], 50),
        digests=numbers.integers(0, 256, (count, 32)).astype(np.uint8),
    )


def names_of(kind: int, count: int, seed: int) -> list[bytes]:
    """Names of a node's links; those of a HAMT node start with their slot."""
    values = random.Random(seed)
    names = [values.randbytes(values.choice([0, 1, 9, 127, 128, 300])) for _ in range(count)]
    if kind == Block.FILE:
        return [b""] * count
    if kind == Block.HAMT:
        slots = sorted(values.sample(range(256), count))
        return [b"%02X" % slot + name for slot, name in zip(slots, names, strict=True)]
    return names


def one_by_one(blocks: Blocks, batch: list[tuple[int, list[int], list[bytes]]]) -> list[bytes]:
    """The expected sections; sets sizes and digests."""
    out = []
    for number, targets, names in batch:
        kind = int(blocks.kinds[number])
        is_file = kind == Block.FILE
        links = Links(
            blocks.kinds[targets],
            blocks.tsizes[targets],
            blocks.lengths[targets] if is_file else None,
            None if is_file else names,
        )
        block = encode_node(kind, blocks.digests[targets], links)
        blocks.sizes[number] = len(block)
        blocks.digests[number] = kernel.sha256_ranges(block, np.array([0]), np.array([len(block)]))[0]
        out.append(section(cid.of_digest(cid.DAG_PB, blocks.digests[number].tobytes()), block))
    return out


def as_batch(blocks: Blocks, batch: list[tuple[int, list[int], list[bytes]]]) -> NodeBatch:
    names = [name for _, _, own in batch for name in own]
    numbers = np.array([number for number, _, _ in batch], dtype=np.int64)
    targets = np.array([target for _, own, _ in batch for target in own], dtype=np.int64)
    links = LinkColumns(
        targets,
        blocks.kinds[targets],
        blocks.tsizes[targets],
        blocks.lengths[targets],
        b"".join(names),
        np.cumsum([len(name) for name in names], dtype=np.int64),
    )
    edges = np.cumsum([0, *(len(own) for _, own, _ in batch)])
    return NodeBatch(numbers, blocks.kinds[numbers], blocks.sizes[numbers], edges, links)


def random_batch(blocks: Blocks, seed: int) -> list[tuple[int, list[int], list[bytes]]]:
    """The nodes among the blocks; each links to others, also to those encoded before it."""
    values = random.Random(seed)
    out = []
    for number in np.flatnonzero(np.isin(blocks.kinds, (Block.FILE, Block.DIRECTORY, Block.HAMT))).tolist():
        kind, count = int(blocks.kinds[number]), values.choice([0, 1, 2, 50, 256])
        targets = [values.randrange(len(blocks.kinds)) for _ in range(count)]
        targets = [target for target in targets if target != number]
        out.append((number, targets, names_of(kind, len(targets), number)))
    return out


@needs_kernel
@pytest.mark.parametrize("seed", range(6))
def test_nodes_of_all_kinds_are_those_of_python(seed: int) -> None:
    expected, given = columns(60, seed), columns(60, seed)
    batch = random_batch(expected, seed)
    wanted = one_by_one(expected, batch)
    given.sizes[:] = expected.sizes
    found = encode.encode_nodes(as_batch(given, batch), given.digests)
    assert found is not None
    assert found.data.tobytes() == b"".join(wanted)
    assert found.ends.tolist() == np.cumsum([len(each) for each in wanted]).tolist()
    assert (given.digests == expected.digests).all(), "a node's digest is in its parent's links"


@needs_kernel
@pytest.mark.parametrize("wrong", [-1, 1, 1 << 40, -(1 << 40)])
def test_a_node_of_another_size_than_laid_out_is_named(wrong: int) -> None:
    blocks = columns(60, 0)
    batch = random_batch(blocks, 0)
    one_by_one(blocks, batch)
    number = batch[3][0]
    blocks.sizes[number] += wrong
    if abs(wrong) > 1:
        blocks.sizes[number] = max(-40, min(int(blocks.sizes[number]), 1 << 20))
    with pytest.raises(AssertionError, match=f"block {number} "):
        encode.encode_nodes(as_batch(blocks, batch), blocks.digests)


@needs_kernel
@pytest.mark.parametrize("number", [-1, 60, 1 << 60])
def test_links_to_blocks_that_are_not_there_are_not_followed(number: int) -> None:
    blocks = columns(60, 0)
    batch = random_batch(blocks, 0)
    one_by_one(blocks, batch)
    given = as_batch(blocks, batch)
    given.links.targets[5] = number
    with pytest.raises(AssertionError):
        encode.encode_nodes(given, blocks.digests)


@needs_kernel
def test_columns_that_do_not_match_are_refused() -> None:
    blocks = columns(60, 0)
    batch = random_batch(blocks, 0)
    one_by_one(blocks, batch)
    good = as_batch(blocks, batch)
    links = good.links
    for bad in (
        replace(good, edges=good.edges[:-1]),
        replace(good, edges=good.edges[::-1].copy()),
        replace(good, sizes=good.sizes[:-1]),
        replace(good, links=replace(links, targets=links.targets[:-1])),
        replace(good, links=replace(links, tsizes=links.tsizes[:-1])),
        replace(good, links=replace(links, names=links.names[:-1])),
        replace(good, links=replace(links, name_ends=links.name_ends - (1 << 40))),
    ):
        with pytest.raises(ValueError, match="don't match"):
            encode.encode_nodes(bad, blocks.digests)
    with pytest.raises(ValueError, match="don't match"):
        encode.encode_nodes(good, blocks.digests[:, ::-1])


def leaves() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    sizes = np.array([0, 1, 91, 92, 5000, 16_347, 16_348, 40_000, 1 << 20], dtype=np.int64)
    begins = 50 + np.cumsum(sizes + 50) - sizes - 50
    digests = np.random.default_rng(1).integers(0, 256, (len(sizes), 32)).astype(np.uint8)
    return begins, sizes, digests


@pytest.mark.parametrize("force_python", [False, True])
def test_heads_of_leaves_are_length_and_cid(force_python: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if force_python:
        monkeypatch.setattr(encode, "compiled", lambda: None)
    begins, sizes, digests = leaves()
    buffer = bytearray(int((begins + sizes).max()))
    expected = bytearray(buffer)
    for begin, size, digest in zip(begins.tolist(), sizes.tolist(), digests, strict=True):
        head = section(cid.of_digest(cid.RAW, digest.tobytes()), bytes(size))[: -size or None]
        expected[begin - len(head) : begin] = head
    encode.put_leaf_heads(buffer, begins, sizes, digests)
    assert buffer == expected


@pytest.mark.parametrize("force_python", [False, True])
@pytest.mark.parametrize("begin", [-5, 0, 36, 101, 1 << 60])
def test_heads_outside_of_the_buffer_are_refused(
    begin: int, force_python: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if force_python:
        monkeypatch.setattr(encode, "compiled", lambda: None)
    digests = np.zeros((1, 32), dtype=np.uint8)
    with pytest.raises(ValueError, match=f"at {begin} isn't inside"):
        encode.put_leaf_heads(bytearray(100), np.array([begin]), np.array([3]), digests)


@pytest.mark.parametrize("force_python", [False, True])
def test_pieces_are_copied_as_far_as_they_are_inside(
    force_python: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if force_python:
        monkeypatch.setattr(encode, "compiled", lambda: None)
    pieces = Sections.of([b"before", b"start", b"", b"middle", b"end", b"after", b"all of it and more"])
    buffer = bytearray(14)
    places = np.array([-6, -2, 3, 4, 11, 12, -30], dtype=np.int64)
    encode.copy_pieces(buffer, 12, places, pieces)
    assert bytes(buffer) == b"art\0middle\0e\0\0"
    encode.copy_pieces(buffer, 12, np.array([-3]), pieces.take(np.array([6])))
    assert bytes(buffer) == b" of it and m\0\0"
