"""The hot loops in hashlib and NumPy: portable and slow, the reference for the compiled ones."""

import hashlib

import numpy as np
from numpy.typing import NDArray

_BLOCK = 127
_SLICE = _BLOCK << 12
"""Payload bytes expanded at a time: half a MiB, which bounds memory for any subtree."""


def sha256_ranges(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """SHA-256 of each range; the caller has checked them."""
    view = data.data
    digests = b"".join(
        hashlib.sha256(view[start : start + size]).digest()
        for start, size in zip(offsets.tolist(), lengths.tolist(), strict=True)
    )
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)


def subtree_roots(data: NDArray[np.uint8], subtree_bytes: int) -> NDArray[np.uint8]:
    """The root of each subtree; the caller has checked the size."""
    step = min(subtree_bytes, _SLICE)
    roots = [_fold(_fr32(data[at : at + step])) for at in range(0, data.size, step)]
    nodes = np.concatenate(roots) if roots else np.empty((0, 32), dtype=np.uint8)
    for _ in range((subtree_bytes // step).bit_length() - 1):
        nodes = _parents(nodes)
    return nodes


def _fr32(payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blocks of 127 bytes as tree leaves: each 254 bits, little-endian, padded to 32 bytes."""
    blocks = payload.reshape(-1, _BLOCK)
    leaves = np.empty((len(blocks), 4, 32), dtype=np.uint8)
    leaves[:, 0] = blocks[:, 0:32]
    # leaf k starts at bit 254 k, which is 2 k bits before the end of byte 32 k - 1
    leaves[:, 1] = blocks[:, 31:63] >> 6 | blocks[:, 32:64] << 2
    leaves[:, 2] = blocks[:, 63:95] >> 4 | blocks[:, 64:96] << 4
    leaves[:, 3, :31] = blocks[:, 95:126] >> 2 | blocks[:, 96:127] << 6
    leaves[:, 3, 31] = blocks[:, 126] >> 2
    leaves[:, :, 31] &= 0x3F
    return leaves.reshape(-1, 32)


def _fold(nodes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One root, of shape (1, 32), over a power of two of nodes."""
    while len(nodes) > 1:
        nodes = _parents(nodes)
    return nodes


def _parents(nodes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    view = memoryview(nodes.tobytes())
    digests = bytearray().join(hashlib.sha256(view[at : at + 64]).digest() for at in range(0, len(view), 64))
    parents = np.frombuffer(digests, dtype=np.uint8).reshape(-1, 32)
    parents[:, 31] &= 0x3F
    return parents
