"""dag-pb nodes: links and their exact sizes. Canonical form: links before Data.

Specification: https://ipld.io/specs/codecs/dag-pb/spec/
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, varint

_HASH_FIELD = 2 + cid.SIZE
"""Bytes of a link's Hash field: tag, length, the 36-byte CID."""


_DIGEST = 32
"""Bytes of a CID after its prefix: the digest."""


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
        size = _tsize_field(tsize)
        key = (len(name), len(size))
        if key not in heads:
            heads[key] = _before_cid_and_name(*key)
        head, name_head = heads[key]
        add((head, target, name_head, name, size))
    return b"".join(parts) + data_field(data)


def encode_links(
    names: Sequence[bytes], prefixes: Sequence[bytes], digests: bytes, tsizes: Sequence[int]
) -> bytes:
    """The links of a node as `encode_node` writes them, from columns.

    Args:
        names: of the links.
        prefixes: of their CIDs, the bytes before the digest.
        digests: of their CIDs, 32 bytes each.
        tsizes: Tsize of each.
    """
    parts: list[bytes] = []
    add = parts.extend
    heads: dict[tuple[int, int, bytes], tuple[bytes, bytes]] = {}
    at = 0
    for name, prefix, tsize in zip(names, prefixes, tsizes, strict=True):
        size = _tsize_field(tsize)
        key = (len(name), len(size), prefix)
        if key not in heads:
            before, name_head = _before_cid_and_name(len(name), len(size))
            heads[key] = before + prefix, name_head
        head, name_head = heads[key]
        add((head, digests[at : at + _DIGEST], name_head, name, size))
        at += _DIGEST
    return b"".join(parts)


def _before_cid_and_name(name_length: int, size_field: int) -> tuple[bytes, bytes]:
    """What a link has before its CID, and between CID and name."""
    # an empty Name (links of files) is written too, as all implementations of the profile do
    name_head = b"\x12" + varint.encode(name_length)
    body = _HASH_FIELD + len(name_head) + name_length + size_field
    return b"\x12" + varint.encode(body) + b"\x0a\x24", name_head


def data_field(message: bytes) -> bytes:
    """The Data field of a node, which follows its links."""
    return b"\x0a" + varint.encode(len(message)) + message


@lru_cache(maxsize=1 << 14)
def _tsize_field(tsize: int) -> bytes:
    return b"\x18" + varint.encode(tsize)


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
