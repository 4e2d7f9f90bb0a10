"""HAMT folders: the hash that says which node of the trie contains a name, and sizes of nodes' parts.

`hamt_trie` has the tries.

Specification: https://specs.ipfs.tech/unixfs/#hamt-structure-and-parameters (murmur3-x64-64, fanout 256:
one byte of the hash per level; a link's name is its slot as two upper-case hex digits, then the entry's name).
"""

from collections.abc import Iterable, Sequence

import mmh3
import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import dagpb, unixfs

HASH_BYTES = 8

PREFIX = 2
"""Bytes of a slot in a link's name."""

_BY_SLOT = np.array([dagpb.data_size(unixfs.hamt_message_size(slot)) for slot in range(256)], dtype=np.int64)


class SameHashError(ValueError):
    """Entries have the same hash, so a HAMT can't contain them all; `hash` is as of `hashes_of`."""

    def __init__(self, clash: int) -> None:
        super().__init__(f"names in one folder have the same hash {clash:016x}")
        self.hash = clash

    def naming(self, names: Iterable[bytes]) -> ValueError:
        """The error for users, given the names that have the hash."""
        clash = b", ".join(names)
        return ValueError(f"these names in one folder have the same hash, rename one of them: {clash!r}")


def name_hash(name: bytes) -> bytes:
    """The 8 hash bytes that give a name its slots: the first half of murmur3-x64-128, big-endian."""
    return mmh3.mmh3_x64_128_digest(name)[HASH_BYTES - 1 :: -1]


def hashes_of(names: Sequence[bytes]) -> NDArray[np.uint64]:
    """`name_hash` of each name, as a big-endian number."""
    digests = b"".join([mmh3.mmh3_x64_128_digest(name)[:HASH_BYTES] for name in names])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def link_sizes(name_lengths: NDArray[np.int64], tsizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the links to entries in the nodes of a trie."""
    return dagpb.link_sizes(name_lengths + PREFIX, tsizes)


def message_sizes(last_slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the Data fields of nodes whose highest slots are these."""
    sizes: NDArray[np.int64] = _BY_SLOT[last_slots]
    return sizes
