"""Encoding nodes, once the digests of their children are known; CAR sections and the CAR header."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, dagpb, unixfs, varint
from ptolemy_core.layout import Block, Layout


class NodeEncoder:
    """Encodes the nodes of a layout: files of many leaves, folders, HAMT nodes.

    Attributes:
        nodes: the nodes' block indexes.
    """

    def __init__(self, layout: Layout, digests: NDArray[np.uint8]) -> None:
        """`digests` has the sha2-256 of every block, one per row, and is shared with the fill."""
        self._layout = layout
        self._digests = digests
        self._children = np.argsort(layout.parent, kind="stable")[1:]  # without the root, which has no parent
        self._first = np.searchsorted(layout.parent[self._children], np.arange(len(layout) + 1))
        self.nodes = np.flatnonzero(
            (layout.kind == Block.FILE) | (layout.kind == Block.DIRECTORY) | (layout.kind == Block.HAMT)
        )

    def completion(self) -> list[tuple[int, int]]:
        """(block after its subtree, node) of every node, children before parents."""
        out: list[tuple[int, int]] = []
        stack: list[tuple[int, int]] = []
        for node, count in zip(self.nodes.tolist(), self._layout.count[self.nodes].tolist(), strict=True):
            while stack and stack[-1][0] <= node:
                out.append(stack.pop())
            stack.append((node + count, node))
        while stack:
            out.append(stack.pop())
        return out

    def block(self, node: int) -> bytes:
        """The node's block; the digests of its children must be set."""
        layout = self._layout
        children = self._children[self._first[node] : self._first[node + 1]]
        digests = self._digests[children].tobytes()
        tsizes = layout.tsize[children].tolist()
        kinds = layout.kind[children].tolist()
        prefixes = [cid.RAW_PREFIX if kind == Block.LEAF else cid.DAG_PB_PREFIX for kind in kinds]
        targets = [prefix + digests[32 * k : 32 * k + 32] for k, prefix in enumerate(prefixes)]
        kind = layout.kind[node]
        if kind == Block.FILE:
            names = [b""] * len(targets)
            message = unixfs.file_message(layout.length[children].tolist())
        else:
            names = [layout.names[k] for k in layout.name[children].tolist()]
            message = (
                unixfs.hamt_message(int(name[:2], 16) for name in names)
                if kind == Block.HAMT
                else unixfs.DIRECTORY
            )
        return dagpb.encode_node(map(dagpb.Link, names, targets, tsizes), message)

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
