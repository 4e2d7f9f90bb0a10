"""The exact sizes of a HAMT folder from the hashes of its names alone, in columns: 20 bytes of memory an entry.

`hamt` has the trie itself, and the specification.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mmh3
import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, dagpb, unixfs, varint
from ptolemy_core.dag.hamt import HASH_BYTES

_PREFIX = 2
"""Bytes of a slot in a link's name."""


class SameHashError(ValueError):
    """Entries have the same hash, so a HAMT can't contain them all; `hash` is as of `hashes_of`."""

    def __init__(self, clash: int) -> None:
        super().__init__(f"names in one folder have the same hash {clash:016x}")
        self.hash = clash


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of a trie together: bytes of their blocks and of their CAR sections, and how many they are."""

    size: int
    span: int
    count: int


def hashes_of(names: Sequence[bytes]) -> NDArray[np.uint64]:
    """`hamt.name_hash` of each name, as a big-endian number."""
    digests = b"".join([mmh3.mmh3_x64_128_digest(name)[:HASH_BYTES] for name in names])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def link_sizes(name_lengths: NDArray[np.int64], tsizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the links to entries in the nodes of a trie."""
    return dagpb.link_sizes(name_lengths + _PREFIX, tsizes)


def measure(hashes: NDArray[np.uint64], links: NDArray[np.int64], tsizes: NDArray[np.int64]) -> Nodes:
    """The nodes of the trie of these entries.

    Args:
        hashes: of the entries' names, as of `hashes_of`.
        links: bytes of the links to them, as of `link_sizes`.
        tsizes: of the entries.

    Raises:
        SameHashError: two are the same.
    """
    order = np.argsort(hashes, kind="stable")
    keys, link, tsize = hashes[order], links[order], tsizes[order]
    same = np.flatnonzero(keys[1:] == keys[:-1])
    if len(same):
        raise SameHashError(int(keys[same[0]]))
    is_node = np.zeros(len(keys), dtype=np.bool_)
    size = span = count = 0
    for level in range(HASH_BYTES - 1, -1, -1):  # from the deepest nodes up: each becomes a link of the next
        starts, chosen = _groups(keys, is_node, level)
        if not len(chosen):
            continue
        ends = np.append(starts[1:], len(keys))
        last_slot = (keys[ends[chosen] - 1] >> np.uint64(8 * (HASH_BYTES - 1 - level))) & np.uint64(0xFF)
        body = np.add.reduceat(link, starts)[chosen] + message_sizes(last_slot.astype(np.int64))
        total = np.add.reduceat(tsize, starts)
        total[chosen] += body
        size += int(body.sum())
        span += int((varint.lengths(cid.SIZE + body) + cid.SIZE + body).sum())
        count += len(chosen)
        keys, link, is_node, tsize = keys[starts], link[starts], is_node[starts], total
        link[chosen] = dagpb.link_sizes(_PREFIX, total[chosen])
        is_node[chosen] = True
    return Nodes(size, span, count)


def _groups(
    keys: NDArray[np.uint64], is_node: NDArray[np.bool_], level: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where groups start whose keys have the same first `level` bytes, and which of them are nodes of the trie."""
    if level:
        prefix = keys >> np.uint64(8 * (HASH_BYTES - level))
        starts = np.flatnonzero(np.concatenate([[True], prefix[1:] != prefix[:-1]]))
    else:
        starts = np.zeros(1, dtype=np.int64)
    many = np.diff(np.append(starts, len(keys))) > 1
    return starts, np.flatnonzero(many | is_node[starts] | (level == 0))


_BY_SLOT = np.array([dagpb.data_size(unixfs.hamt_message_size(slot)) for slot in range(256)], dtype=np.int64)


def message_sizes(last_slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the Data fields of nodes whose highest slots are these."""
    sizes: NDArray[np.int64] = _BY_SLOT[last_slots]
    return sizes
