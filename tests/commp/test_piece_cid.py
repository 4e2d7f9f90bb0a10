"""Piece CIDs of both versions: published vectors, round trips, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.commp import (
    PieceCid,
    PieceCommitment,
    capacity,
    height,
    parse_piece_cid,
    piece_cid_v1,
    piece_cid_v2,
    zero_root,
)
from ptolemy_core.commp.tree import fold
from ptolemy_core.dag import cid, varint

from . import streams

VECTORS = Path(__file__).parents[1] / "vectors" / "commp"
ALL = [
    vector
    for name in ("published.json", "files.json")
    for vector in json.loads((VECTORS / name).read_text())["vectors"]
]
BY_ID = {vector["id"]: vector for vector in ALL}
INPUTS = [
    pytest.param(vector, id=vector["id"], marks=[pytest.mark.slow] if big else [])
    for vector in ALL
    if vector["input"]["gen"] != "none"
    for big in [vector["input"].get("size", 0) > 64 << 20]
]


@pytest.mark.parametrize("vector", INPUTS)
def test_published_commitment(vector: dict[str, Any]) -> None:
    commitment = PieceCommitment()
    for piece in streams.stream(vector["input"]):
        commitment.update(piece)
    root, size = commitment.digest(), commitment.size
    if "piece_cid_v1" in vector:
        assert cid.to_text(piece_cid_v1(root)) == vector["piece_cid_v1"]
    if "piece_cid_v2" in vector:
        assert cid.to_text(piece_cid_v2(root, size)) == vector["piece_cid_v2"]
    if "piece_size" in vector:
        assert commitment.piece_size == vector["piece_size"]


@pytest.mark.parametrize("vector", [v for v in ALL if "piece_cid_v2" in v], ids=lambda v: v["id"])
def test_published_v2_reads_and_writes_back(vector: dict[str, Any]) -> None:
    binary = cid.from_text(vector["piece_cid_v2"])
    parsed = parse_piece_cid(binary)
    assert parsed.payload_size is not None
    assert piece_cid_v2(parsed.root, parsed.payload_size) == binary
    if "piece_cid_v1" in vector:
        assert parse_piece_cid(cid.from_text(vector["piece_cid_v1"])) == PieceCid(parsed.root)
    assert parsed.payload_size == vector.get("payload_size", parsed.payload_size)


@pytest.mark.parametrize("gib", [32, 64])
def test_published_zero_sectors(gib: int) -> None:
    vector, piece = BY_ID[f"frc69-{gib}GiB-zero"], gib << 30
    root = zero_root(height(piece))
    assert cid.to_text(piece_cid_v1(root)) == vector["piece_cid_v1"]
    assert cid.to_text(piece_cid_v2(root, capacity(piece))) == vector["piece_cid_v2"]


def test_published_sector_of_pieces() -> None:
    """A real sector's commitment, from its pieces, each aligned to its own size."""
    vector = BY_ID["commd-sector"]
    unit = min(piece["pieceSize"] for piece in vector["input"]["pieces"])
    placed: dict[int, tuple[bytes, int]] = {}
    at = 0
    for piece in vector["input"]["pieces"]:
        at = -(-at // piece["pieceSize"]) * piece["pieceSize"]
        placed[at] = parse_piece_cid(cid.from_text(piece["pieceCidV1"])).root, piece["pieceSize"]
        at += piece["pieceSize"]

    def root_of(start: int, size: int) -> bytes:
        if start in placed and placed[start][1] == size:
            return placed[start][0]
        if size == unit:
            return zero_root(height(unit))
        half = size // 2
        return fold([root_of(start, half), root_of(start + half, half)], height(half), height(size))

    assert cid.to_text(piece_cid_v1(root_of(0, vector["piece_size"]))) == vector["piece_cid_v1"]


ROOT = bytes(range(32))
V2 = piece_cid_v2(ROOT, 300)


def v2(padding: bytes, levels: int, root: bytes) -> bytes:
    digest = padding + bytes([levels]) + root
    return bytes.fromhex("01559120") + varint.encode(len(digest)) + digest


def test_texts_start_as_people_know_them() -> None:
    assert cid.to_text(piece_cid_v1(ROOT)).startswith("baga6ea4seaq")
    assert cid.to_text(V2).startswith("bafkzcib")


def test_parsing_gives_root_and_sizes() -> None:
    assert parse_piece_cid(V2) == PieceCid(ROOT, 300, 512)
    assert parse_piece_cid(piece_cid_v1(ROOT)) == PieceCid(ROOT, None, None)


@pytest.mark.parametrize(
    ("binary", "reason"),
    [
        (b"", "not a piece CID"),
        (cid.of_digest(cid.RAW, ROOT), "not a piece CID"),
        (piece_cid_v1(ROOT)[:-1], "root is 32 bytes, got 31"),
        (piece_cid_v1(ROOT) + b"\0", "root is 32 bytes, got 33"),
        (piece_cid_v1(ROOT)[:-1] + b"\x40", "254 bits"),
        (V2[:-1], "states a digest"),
        (V2 + b"\0", "states a digest"),
        (v2(b"\0", 2, ROOT[:-1]), "needs a height and a 32-byte root"),
        (v2(b"\0", 1, ROOT), "height 1"),
        (v2(b"\0", 32, ROOT), "height 32"),
        (v2(varint.encode(128), 2, ROOT), "has 128 bytes of padding"),
        (v2(b"\x80\x00", 2, ROOT), "not minimal"),
        (v2(b"\0", 2, ROOT[:-1] + b"\x80"), "254 bits"),
    ],
)
def test_what_is_no_piece_cid_is_refused(binary: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_piece_cid(binary)


def test_roots_and_sizes_that_no_piece_has_are_refused() -> None:
    for make in (piece_cid_v1, lambda root: piece_cid_v2(root, 1)):
        with pytest.raises(ValueError, match="32 bytes"):
            make(bytes(31))
        with pytest.raises(ValueError, match="254 bits"):
            make(b"\xff" * 32)
    with pytest.raises(ValueError, match="a piece holds"):
        piece_cid_v2(ROOT, -1)
