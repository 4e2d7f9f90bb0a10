"""Sizes of pieces: padded, unpadded, and the height of the tree over them.

Specification: https://github.com/filecoin-project/FIPs/blob/master/FRCs/frc-0069.md
"""

from typing import Final

MIN_PIECE: Final = 128
"""Padded size of the smallest piece, in bytes: one Fr32 block."""

MAX_PIECE: Final = 64 << 30
"""Padded size of the largest piece, in bytes: the largest sector (64 GiB)."""

MAX_PAYLOAD: Final = MAX_PIECE // 128 * 127
"""Largest payload of a piece, in bytes before padding."""


def piece_size(payload_bytes: int) -> int:
    """Padded size of the smallest piece that holds `payload_bytes`: a power of two, at least 128.

    Raises:
        ValueError: the payload is negative or larger than MAX_PAYLOAD.
    """
    if not 0 <= payload_bytes <= MAX_PAYLOAD:
        raise ValueError(f"a piece holds 0 to {MAX_PAYLOAD} bytes of payload, got {payload_bytes}")
    blocks = max(1, -(-payload_bytes // 127))
    return MIN_PIECE << (blocks - 1).bit_length()


def capacity(piece: int) -> int:
    """Payload bytes that a piece of `piece` padded bytes holds.

    Raises:
        ValueError: `piece` isn't a power of two from MIN_PIECE to MAX_PIECE.
    """
    if not MIN_PIECE <= piece <= MAX_PIECE or piece & (piece - 1):
        raise ValueError(f"a piece's size is a power of two from {MIN_PIECE} to {MAX_PIECE}, got {piece}")
    return piece // 128 * 127


def height(piece: int) -> int:
    """Levels between the root of a piece of `piece` padded bytes and its 32-byte leaves: 2 for 128.

    Raises:
        ValueError: see `capacity`.
    """
    capacity(piece)
    return piece.bit_length() - 6
