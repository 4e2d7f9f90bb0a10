"""Encoding nodes, once the digests of their children are known; CAR sections and the CAR header."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid, dagpb, unixfs, varint
from ptolemy_core.kernel.encode import Sections
from ptolemy_core.kernel.links import NodeSections, NodeTable
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
        self._sections = NodeSections(
            NodeTable(
                layout.kind,
                layout.size,
                layout.nodes.at,
                layout.nodes.count,
                layout.nodes.tsize,
                layout.nodes.length,
                layout.spread.bases,
                layout.spread.extra,
                layout.names,
            ),
            digests,
        )

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

    def encode(self, numbers: NDArray[np.int64]) -> Sections:
        """The sections of these nodes, children before parents; sets their digests. Those of other children are set.

        Raises:
            AssertionError: a node doesn't have the size that it was laid out with.
        """
        sections = self._sections.encode(numbers)
        if sections is not None:
            return sections
        layout = self._layout
        columns = (numbers, layout.kind[numbers], layout.size[numbers])
        one_by_one = zip(*(column.tolist() for column in columns), strict=True)
        return Sections.of([self._encode_one(*one) for one in one_by_one])

    def _encode_one(self, number: int, kind: int, size: int) -> bytes:
        """`encode` of one node, without the compiled kernel."""
        layout = self._layout
        below = layout.children(number)
        is_file = kind == Block.FILE  # links inside a file have no names
        links = Links(
            layout.kind[below],
            layout.tsize[below],
            layout.length[below] if is_file else None,
            None if is_file else layout.link_names(below),
        )
        block = encode_node(kind, self._digests[below], links)
        if len(block) != size:
            raise AssertionError(f"block {number} isn't {size} bytes long, as it was laid out")
        digest = hashlib.sha256(block).digest()
        self._digests[number] = np.frombuffer(digest, dtype=np.uint8)
        return section(cid.of_digest(cid.DAG_PB, digest), block)

    def is_node(self, block: int) -> bool:
        """Whether a block is a node: a folder, a HAMT node, or a file of many leaves."""
        return self._layout.kind[block] not in (Block.LEAF, Block.SYMLINK)

    def header(self) -> bytes:
        """The CAR's header; the root's digest must be set."""
        return header(block_cid(self._layout, 0, self._digests[0].tobytes()))


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
