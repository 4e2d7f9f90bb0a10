"""dag-pb nodes: links and their exact sizes. Canonical form: links before Data.

Specification: https://ipld.io/specs/codecs/dag-pb/spec/
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, varint

_HASH_FIELD = 2 + cid.SIZE
"""Bytes of a link's Hash field: tag, length, the 36-byte CID."""


class Link(NamedTuple):
    """A link of a node: `name` bytes, binary CID, and Tsize, the bytes of all blocks of its target's subtree."""

    name: bytes
    cid: bytes
    tsize: int


def encode_node(links: Iterable[Link], data: bytes) -> bytes:
    """The block of a node with these links, in this order, and this UnixFS message."""
    parts: list[bytes] = []
    add = parts.extend
    heads: dict[tuple[int, int], tuple[bytes, bytes]] = {}
    for name, target, tsize in links:
        size = _encoded(tsize)
        key = (len(name), len(size))
        if key not in heads:
            # an empty Name (links of files) is written too, as all implementations of the profile do
            name_head = b"\x12" + varint.encode(len(name))
            body = _HASH_FIELD + len(name_head) + len(name) + 1 + len(size)
            heads[key] = (b"\x12" + varint.encode(body) + b"\x0a\x24", name_head)
        head, name_head = heads[key]
        add((head, target, name_head, name, b"\x18", size))
    add((b"\x0a", varint.encode(len(data)), data))
    return b"".join(parts)


_encoded = lru_cache(maxsize=1 << 14)(varint.encode)


def link_size(name_length: int, tsize: int) -> int:
    """Bytes of a link inside its node."""
    body = _HASH_FIELD + 2 + varint.length(name_length) + name_length + varint.length(tsize)
    return 1 + varint.length(body) + body


def link_sizes(name_lengths: NDArray[np.int64] | int, tsizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """`link_size` of each of many links."""
    names = np.asarray(name_lengths, dtype=np.int64)
    body = _HASH_FIELD + 2 + varint.lengths(names) + names + varint.lengths(tsizes)
    return 1 + varint.lengths(body) + body


def data_size(message_length: int) -> int:
    """Bytes of the Data field, with a message of this length, inside its node."""
    return 1 + varint.length(message_length) + message_length
