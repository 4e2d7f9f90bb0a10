"""Piece CIDs, version 1 and 2, in binary; `ptolemy_core.dag.cid.to_text` converts them to text.

Specification: https://github.com/filecoin-project/FIPs/blob/master/FRCs/frc-0069.md
"""

from dataclasses import dataclass
from typing import Final

from ptolemy_core.commp.sizes import MAX_PIECE, capacity, height, piece_size
from ptolemy_core.dag import varint

_V1_PREFIX: Final = bytes.fromhex("01 81e203 9220 20")
"""CIDv1, fil-commitment-unsealed (0xf101), sha2-256-trunc254-padded (0x1012), 32 bytes."""

_V2_PREFIX: Final = bytes.fromhex("01 55 9120")
"""CIDv1, raw, fr32-sha2-256-trunc254-padbintree (0x1011); the digest's length follows."""

_ROOT = 32


@dataclass(frozen=True, slots=True)
class PieceCid:
    """The contents of a piece CID.

    Attributes:
        root: the 32-byte piece commitment.
        payload_size: bytes of payload before padding; None for version 1, which doesn't contain it.
        piece_size: padded bytes of the piece; None for version 1.
    """

    root: bytes
    payload_size: int | None = None
    piece_size: int | None = None


def piece_cid_v1(root: bytes) -> bytes:
    """The binary piece CID v1 (`baga6ea4seaq...`) of a 32-byte root.

    Raises:
        ValueError: the root isn't 32 bytes cut to 254 bits.
    """
    return _V1_PREFIX + _checked(root)


def piece_cid_v2(root: bytes, payload_size: int) -> bytes:
    """The binary piece CID v2 (`bafkzcib...`) of the smallest piece for a payload of this size, with that root.

    Raises:
        ValueError: the root isn't 32 bytes cut to 254 bits, or no piece has that payload size.
    """
    piece = piece_size(payload_size)
    padding = varint.encode(capacity(piece) - payload_size)
    digest = padding + bytes((height(piece),)) + _checked(root)
    return _V2_PREFIX + varint.encode(len(digest)) + digest


def parse_piece_cid(binary: bytes) -> PieceCid:
    """Parse a binary piece CID of either version.

    Raises:
        ValueError: it isn't a piece CID, or its parts are inconsistent.
    """
    if binary.startswith(_V1_PREFIX):
        return PieceCid(_checked(binary[len(_V1_PREFIX) :]))
    if binary.startswith(_V2_PREFIX):
        length, start = varint.decode(binary, len(_V2_PREFIX))
        if len(binary) - start != length:
            raise ValueError(f"piece CID v2 states a digest of {length} bytes and has {len(binary) - start}")
        return _parse_v2(binary[start:])
    raise ValueError(f"not a piece CID: {binary[:8].hex()}... has another codec or multihash")


def _parse_v2(digest: bytes) -> PieceCid:
    padding, at = varint.decode(digest)
    if len(digest) - at != 1 + _ROOT:
        raise ValueError(f"piece CID v2 needs a height and a {_ROOT}-byte root, got {len(digest) - at} bytes")
    levels = digest[at]
    if not 2 <= levels <= height(MAX_PIECE):
        raise ValueError(f"piece CID v2 has height {levels}; pieces have 2 to {height(MAX_PIECE)}")
    piece = 1 << levels + 5
    if padding > capacity(piece):
        raise ValueError(
            f"piece CID v2 has {padding} bytes of padding, its piece holds only {capacity(piece)}"
        )
    return PieceCid(_checked(digest[at + 1 :]), capacity(piece) - padding, piece)


def _checked(root: bytes) -> bytes:
    if len(root) != _ROOT:
        raise ValueError(f"a piece's root is {_ROOT} bytes, got {len(root)}")
    if root[-1] & 0xC0:
        raise ValueError("a piece's root has 254 bits: the top two bits of its last byte must be 0")
    return bytes(root)
