"""The trie of a HAMT folder, in columns: 25 bytes of memory an entry while it is made, and 9 then.

`hamt` has the specification. Nodes are numbered in depth-first pre-order, entries in the order of their hashes, which
is that of their blocks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, dagpb, varint
from ptolemy_core.dag.hamt import HASH_BYTES, PREFIX, SameHashError, link_sizes, message_sizes

_PART = 1 << 16
"""Entries that are measured together."""


@dataclass(slots=True)
class Trie:
    """The nodes of a folder's HAMT, and its entries.

    Attributes:
        order: the index of each entry, in the order of hashes.
        of_entry: the node that links to each entry, in that order.
        slots: of the links to them.
        first: of each node, how many entries are before it.
        parent: the node that links to each; -1 for the root, the first.
        slot: of that link.
        level: nodes above each.
        last_slot: the highest slot in use in each.
        size, tsize, span, count: of each: bytes of its block, of all blocks of its subtree, of their CAR sections;
            and how many blocks those are. Set by `measure`.
    """

    order: NDArray[np.int32]
    of_entry: NDArray[np.int32]
    slots: NDArray[np.uint8]
    first: NDArray[np.int64]
    parent: NDArray[np.int64]
    slot: NDArray[np.uint8]
    level: NDArray[np.int64]
    last_slot: NDArray[np.int64]
    size: NDArray[np.int64]
    tsize: NDArray[np.int64]
    span: NDArray[np.int64]
    count: NDArray[np.int64]

    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where nodes, and entries in the order of hashes, are among all of them in the order of blocks."""
        of_nodes = self.first + np.arange(len(self.first))
        before = np.searchsorted(self.first, np.arange(len(self.order)), side="right")
        return of_nodes, before + np.arange(len(self.order))

    def measure(
        self,
        name_lengths: NDArray[np.int32],
        tsizes: NDArray[np.int64],
        spans: NDArray[np.int64],
        counts: NDArray[np.int32],
    ) -> None:
        """Set the sizes of the nodes from those of the entries, by their indexes (bytes, blocks)."""
        for low in range(0, len(self.order), _PART):
            entries, node = self.order[low : low + _PART], self.of_entry[low : low + _PART]
            own = tsizes[entries]
            np.add.at(self.size, node, link_sizes(name_lengths[entries].astype(np.int64), own))
            np.add.at(self.tsize, node, own)
            np.add.at(self.span, node, spans[entries])
            np.add.at(self.count, node, counts[entries].astype(np.int64))
        for level in range(int(self.level.max()), -1, -1):
            nodes = np.flatnonzero(self.level == level)
            self.size[nodes] += message_sizes(self.last_slot[nodes])
            size = self.size[nodes]
            self.tsize[nodes] += size
            self.span[nodes] += varint.lengths(cid.SIZE + size) + cid.SIZE + size
            self.count[nodes] += 1
            if level:
                parent, tsize = self.parent[nodes], self.tsize[nodes]
                np.add.at(self.size, parent, dagpb.link_sizes(PREFIX, tsize))
                np.add.at(self.tsize, parent, tsize)
                np.add.at(self.span, parent, self.span[nodes])
                np.add.at(self.count, parent, self.count[nodes])


def trie(hashes: NDArray[np.uint64]) -> Trie:
    """The trie of a folder's entries by the hashes of their names, as of `hashes_of`.

    Raises:
        SameHashError: two are the same, so a HAMT can't contain both.
    """
    order = np.argsort(hashes, kind="stable").astype(np.int32)
    keys = hashes[order]
    same = np.flatnonzero(keys[1:] == keys[:-1])
    if len(same):
        raise SameHashError(int(keys[same[0]]))
    return _of_keys(keys, order)


def _of_keys(keys: NDArray[np.uint64], order: NDArray[np.int32]) -> Trie:
    """The trie of entries by their hashes, in ascending order."""
    of_entry = np.zeros(len(keys), dtype=np.int32)
    slots = np.zeros(len(keys), dtype=np.uint8)
    firsts, parents, own_slots, levels = ([column] for column in np.zeros((4, 1), dtype=np.int64))
    entries = np.arange(len(keys), dtype=np.int32)  # that aren't alone in a slot yet
    node = np.zeros(len(keys), dtype=np.int32)  # that each of them is below
    parents[0] = parents[0] - 1
    count = 1
    for level in range(HASH_BYTES):
        slot = (keys[entries] >> np.uint64(8 * (HASH_BYTES - 1 - level))).astype(np.uint8)
        new = np.ones(len(entries), dtype=np.bool_)
        new[1:] = (node[1:] != node[:-1]) | (slot[1:] != slot[:-1])
        starts = np.flatnonzero(new)
        lengths = np.diff(starts, append=len(entries))
        alone = starts[lengths == 1]
        of_entry[entries[alone]], slots[entries[alone]] = node[alone], slot[alone]
        many = starts[lengths > 1]
        if not len(many):
            break
        firsts.append(entries[many].astype(np.int64))
        parents.append(node[many].astype(np.int64))
        own_slots.append(slot[many].astype(np.int64))
        levels.append(np.full(len(many), level + 1, dtype=np.int64))
        own = np.repeat(count + np.arange(len(many), dtype=np.int32), lengths[lengths > 1])
        left = np.repeat(lengths > 1, lengths)
        entries, node = entries[left], own.astype(np.int32)
        count += len(many)
    return _in_order(
        order, of_entry, slots, *(np.concatenate(column) for column in (firsts, parents, own_slots, levels))
    )


def _in_order(
    order: NDArray[np.int32],
    of_entry: NDArray[np.int32],
    slots: NDArray[np.uint8],
    first: NDArray[np.int64],
    parent: NDArray[np.int64],
    slot: NDArray[np.int64],
    level: NDArray[np.int64],
) -> Trie:
    """The trie of nodes that were found level by level."""
    found = np.lexsort((level, first))  # pre-order: a node is before what begins at the same entry below it
    number = np.empty(len(found), dtype=np.int64)
    number[found] = np.arange(len(found))
    parent = np.where(parent < 0, -1, number[parent])[found]
    slot = slot[found]
    of_entry = number[of_entry].astype(np.int32)
    last = np.zeros(len(found), dtype=np.int64)
    np.maximum.at(last, of_entry, slots.astype(np.int64))
    np.maximum.at(last, parent[1:], slot[1:])
    sizes = (np.zeros(len(found), dtype=np.int64) for _ in range(4))
    return Trie(
        order, of_entry, slots, first[found], parent, slot.astype(np.uint8), level[found], last, *sizes
    )
