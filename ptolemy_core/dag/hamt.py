"""HAMT folders: the hash that says which node of the trie contains a name. `hamt_trie` has the tries.

Specification: https://specs.ipfs.tech/unixfs/#hamt-structure-and-parameters (murmur3-x64-64, fanout 256:
one byte of the hash per level; a link's name is its slot as two upper-case hex digits, then the entry's name).
"""

import mmh3

HASH_BYTES = 8


def name_hash(name: bytes) -> bytes:
    """The 8 hash bytes that give a name its slots: the first half of murmur3-x64-128, big-endian."""
    return mmh3.mmh3_x64_128_digest(name)[HASH_BYTES - 1 :: -1]
