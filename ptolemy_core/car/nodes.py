"""Encoding nodes, once the digests of their children are known; CAR sections and the CAR header."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import kernel
from ptolemy_core.dag import cid, dagpb, unixfs, varint
from ptolemy_core.layout import Block, Layout

_PART = 10_000
"""Nodes that are listed at once."""


class NodeEncoder:
    """Encodes the nodes of a layout: files of many leaves, folders, HAMT nodes.

    Attributes:
        nodes: the nodes' block indexes.
    """

    def __init__(self, layout: Layout, digests: NDArray[np.uint8]) -> None:
        """`digests` has the sha2-256 of every block, one per row, and is shared with the fill."""
        self._layout = layout
        self._digests = digests
        self.nodes = layout.nodes.at[layout.kind[layout.nodes.at] != Block.SYMLINK]

    def completion(self) -> Iterator[tuple[int, int]]:
        """(block after its subtree, node) of every node, children before parents."""
        stack: list[tuple[int, int]] = []
        for low in range(0, len(self.nodes), _PART):
            some = self.nodes[low : low + _PART]
            for node, count in zip(some.tolist(), self._layout.count[some].tolist(), strict=True):
                while stack and stack[-1][0] <= node:
                    yield stack.pop()
                stack.append((node + count, node))
        while stack:
            yield stack.pop()

    def block(self, node: int) -> bytes:
        """The node's block; the digests of its children must be set."""
        layout = self._layout
        children = layout.children(node)
        kind = int(layout.kind[node])
        return encode_node(
            kind,
            self._digests[children],
            Links(
                layout.kind[children],
                layout.tsize[children],
                layout.length[children] if kind == Block.FILE else None,
                None if kind == Block.FILE else layout.link_names(children),
            ),
        )

    def is_node(self, block: int) -> bool:
        """Whether a block is a node: a folder, a HAMT node, or a file of many leaves."""
        return self._layout.kind[block] not in (Block.LEAF, Block.SYMLINK)

    def header(self, digest: bytes) -> bytes:
        """The CAR's header, from the root's digest."""
        return header(block_cid(self._layout, 0, digest))

    def set_digest(self, node: int, block: bytes) -> bytes:
        """Hash the node's block and store the digest for its parent."""
        digest = hashlib.sha256(block).digest()
        self._digests[node] = np.frombuffer(digest, dtype=np.uint8)
        return digest


class Links(NamedTuple):
    """The links of a node, in columns: `Block` and Tsize of each block linked to.

    `lengths` are bytes of file data below each, of a file's node; `names` those of a folder's or HAMT node's links.
    """

    kinds: NDArray[np.int8]
    tsizes: NDArray[np.int64]
    lengths: NDArray[np.int64] | None = None
    names: Sequence[bytes] | None = None


def encode_node(kind: int, digests: NDArray[np.uint8], links: Links) -> bytes:
    """The block of a file's node, folder or HAMT node (`kind` is its `Block`), whose children have these digests."""
    prefixes = [
        cid.RAW_PREFIX if below == Block.LEAF else cid.DAG_PB_PREFIX for below in links.kinds.tolist()
    ]
    names = [b""] * len(prefixes) if links.names is None else links.names
    if kind == Block.FILE:
        message = unixfs.file_message([] if links.lengths is None else links.lengths.tolist())
    elif kind == Block.HAMT:
        message = unixfs.hamt_message(int(name[:2], 16) for name in names)
    else:
        message = unixfs.DIRECTORY
    encoded = dagpb.encode_links(names, prefixes, digests.tobytes(), links.tsizes.tolist())
    return encoded + dagpb.data_field(message)


def put_leaf_heads(
    buffer: kernel.Buffer, begins: NDArray[np.int64], sizes: NDArray[np.int64], digests: NDArray[np.uint8]
) -> None:
    """Write what comes before the bytes of leaves in their sections: length and CID.

    Args:
        buffer: writable; holds the leaves.
        begins: where the bytes of each begin in it.
        sizes: bytes of each.
        digests: of each, a row.
    """
    target = np.frombuffer(buffer, dtype=np.uint8)
    target[begins[:, None] + np.arange(-32, 0)] = digests
    target[begins[:, None] + np.arange(-36, -32)] = np.frombuffer(cid.RAW_PREFIX, dtype=np.uint8)
    lengths = varint.lengths(sizes + cid.SIZE)
    for length in np.unique(lengths).tolist():
        same = lengths == length
        groups = (sizes[same] + cid.SIZE)[:, None] >> np.arange(length) * 7 & 0x7F
        groups[:, :-1] |= 0x80
        target[begins[same][:, None] + np.arange(-36 - length, -36)] = groups


def block_cid(layout: Layout, block: int, digest: bytes) -> bytes:
    """The binary CID of a block."""
    return cid.of_digest(cid.RAW if layout.kind[block] == Block.LEAF else cid.DAG_PB, digest)


def section(binary_cid: bytes, block: bytes) -> bytes:
    """A CAR section."""
    return varint.encode(len(binary_cid) + len(block)) + binary_cid + block


def header(root: bytes) -> bytes:
    """The CARv1 header: length and canonical DAG-CBOR of {"roots": [root], "version": 1}."""
    body = b"\xa2eroots\x81\xd8\x2a\x58" + bytes((len(root) + 1,)) + b"\x00" + root + b"gversion\x01"
    return varint.encode(len(body)) + body
