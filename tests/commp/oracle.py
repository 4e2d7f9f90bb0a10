"""The piece commitment as its specification says it, over the whole payload at once."""

import hashlib


def commitment(payload: bytes) -> tuple[bytes, int]:
    """The root of the smallest piece that holds the payload, and that piece's padded size."""
    blocks = 1
    while blocks * 127 < len(payload):
        blocks *= 2
    padded = payload + bytes(blocks * 127 - len(payload))
    nodes = [leaf for at in range(0, len(padded), 127) for leaf in fr32(padded[at : at + 127])]
    while len(nodes) > 1:
        nodes = [parent(nodes[i] + nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return nodes[0], blocks * 128


def fr32(block: bytes) -> list[bytes]:
    """Four leaves of 254 bits each, from 127 bytes read as one little-endian number."""
    number = int.from_bytes(block, "little")
    return [(number >> 254 * i & (1 << 254) - 1).to_bytes(32, "little") for i in range(4)]


def parent(children: bytes) -> bytes:
    """SHA-256 with the two top bits of the last byte cleared."""
    digest = hashlib.sha256(children).digest()
    return digest[:31] + bytes([digest[31] % 64])
