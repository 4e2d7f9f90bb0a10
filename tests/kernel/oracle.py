"""The hot loops as their specifications say them, with big integers and no thought of speed."""

import hashlib


def subtree_root(payload: bytes) -> bytes:
    """The root over exactly 127 * 2**k bytes."""
    nodes = []
    for at in range(0, len(payload), 127):
        number = int.from_bytes(payload[at : at + 127], "little")
        nodes += [((number >> 254 * i) & ((1 << 254) - 1)).to_bytes(32, "little") for i in range(4)]
    while len(nodes) > 1:
        nodes = [parent(nodes[i], nodes[i + 1]) for i in range(0, len(nodes), 2)]
    return nodes[0]


def parent(left: bytes, right: bytes) -> bytes:
    """SHA-256 of both children with the two top bits of the last byte cleared."""
    digest = bytearray(hashlib.sha256(left + right).digest())
    digest[31] &= 0b0011_1111
    return bytes(digest)


def digests(data: bytes, offsets: list[int], lengths: list[int]) -> list[bytes]:
    """SHA-256 of each range."""
    return [hashlib.sha256(data[o : o + n]).digest() for o, n in zip(offsets, lengths, strict=True)]
