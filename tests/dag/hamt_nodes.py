"""The trie of a HAMT folder as objects, entry by entry: the oracle of the columns of `dag.hamt_trie`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ptolemy_core.dag import cid, dagpb, unixfs, varint


@dataclass(slots=True)
class HamtNode:
    """A node of the trie. `links` are in slot order: (link name, entry number or sub-node).

    Sizes in bytes: `size` of this node's block, `tsize` of all blocks of its subtree, `span` of their CAR sections;
    `count` is the number of those blocks. They are set by `measure`.
    """

    slots: list[int] = field(default_factory=list)
    links: list[tuple[bytes, "int | HamtNode"]] = field(default_factory=list)
    size: int = 0
    tsize: int = 0
    span: int = 0
    count: int = 0

    def nodes(self) -> Iterator["HamtNode"]:
        """This node and all its descendants, each before its children."""
        yield self
        for _, target in self.links:
            if isinstance(target, HamtNode):
                yield from target.nodes()


def trie_of(hashed: list[tuple[bytes, int]], names: Sequence[bytes]) -> HamtNode:
    """The trie of entries by their hashes, in order; an entry is identified by its index in `names`."""
    return _node(hashed, 0, len(hashed), 0, names)


def in_order(node: HamtNode) -> list[bytes | None]:
    """The names of the links to entries, and None for each node, in the order of blocks."""
    out: list[bytes | None] = [None]
    for name, target in node.links:
        out += in_order(target) if isinstance(target, HamtNode) else [name]
    return out


def _node(
    hashed: list[tuple[bytes, int]], start: int, stop: int, level: int, names: Sequence[bytes]
) -> HamtNode:
    node = HamtNode()
    at = start
    while at < stop:
        slot = hashed[at][0][level]
        end = at + 1
        while end < stop and hashed[end][0][level] == slot:
            end += 1
        prefix = b"%02X" % slot
        node.slots.append(slot)
        if end - at == 1:
            number = hashed[at][1]
            node.links.append((prefix + names[number], number))
        else:
            node.links.append((prefix, _node(hashed, at, end, level + 1, names)))
        at = end
    return node


def measure(node: HamtNode, tsizes: Sequence[int], spans: Sequence[int], counts: Sequence[int]) -> None:
    """Set the sizes of `node` and its descendants from those of the folder's entries (bytes, blocks)."""
    nodes = list(node.nodes())
    own = [(len(name), target) for each in nodes for name, target in each.links if isinstance(target, int)]
    lengths, entries = np.array(own, dtype=np.int64).reshape(-1, 2).T
    link_sizes = np.zeros(len(tsizes), dtype=np.int64)
    link_sizes[entries] = dagpb.link_sizes(lengths, np.array(tsizes, dtype=np.int64)[entries])
    of_entries = link_sizes.tolist()
    for each in reversed(nodes):  # children before their parents
        size = dagpb.data_size(unixfs.hamt_message_size(each.slots[-1]))
        tsize = span = count = 0
        for name, target in each.links:
            if isinstance(target, HamtNode):
                size += dagpb.link_size(len(name), target.tsize)
                tsize += target.tsize
                span += target.span
                count += target.count
            else:
                size += of_entries[target]
                tsize += tsizes[target]
                span += spans[target]
                count += counts[target]
        each.size = size
        each.tsize = tsize + size
        each.span = span + varint.length(cid.SIZE + size) + cid.SIZE + size
        each.count = count + 1
