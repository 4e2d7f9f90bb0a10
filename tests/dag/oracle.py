"""The obvious, slow way from bytes to blocks: whole DAGs in memory, built recursively, nothing of the engine used.

Specification: IPIP-499 profile unixfs-v1-2025, dag-pb, UnixFS, CARv1.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Union

import mmh3


class Sizes(NamedTuple):
    """The numbers of a profile."""

    chunk: int
    width: int
    threshold: int = 262_144


@dataclass
class Node:
    """A block with the blocks below it; `length` is the bytes of file data below."""

    cid: bytes
    block: bytes
    children: list["Node"] = field(default_factory=list)
    length: int = 0

    @property
    def tsize(self) -> int:
        return len(self.block) + sum(child.tsize for child in self.children)

    def preorder(self) -> Iterator["Node"]:
        yield self
        for child in self.children:
            yield from child.preorder()


class Link(NamedTuple):
    """A symbolic link's target, told apart from a file's bytes."""

    target: bytes


Content = Union[bytes, Link, Mapping[bytes, "Content"]]  # noqa: UP007 (a forward reference)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def number(tag: int, value: int) -> bytes:
    return varint(tag << 3) + varint(value)


def blob(tag: int, value: bytes) -> bytes:
    return varint(tag << 3 | 2) + varint(len(value)) + value


def raw(data: bytes) -> Node:
    return Node(bytes([1, 0x55, 0x12, 32]) + hashlib.sha256(data).digest(), data, [], len(data))


def pb(links: list[tuple[bytes, Node]], message: bytes) -> Node:
    parts = [blob(2, blob(1, child.cid) + blob(2, name) + number(3, child.tsize)) for name, child in links]
    block = b"".join(parts) + blob(1, message)
    children = [child for _, child in links]
    prefix = bytes([1, 0x70, 0x12, 32])
    length = sum(child.length for child in children)
    return Node(prefix + hashlib.sha256(block).digest(), block, children, length)


def file(data: bytes, sizes: Sizes) -> Node:
    """The DAG of a file: leaves, then levels of full nodes until one is left."""
    level = [raw(data[at : at + sizes.chunk]) for at in range(0, max(1, len(data)), sizes.chunk)]
    while len(level) > 1:
        level = [file_node(level[at : at + sizes.width]) for at in range(0, len(level), sizes.width)]
    return level[0]


def file_node(children: list[Node]) -> Node:
    message = number(1, 2) + number(3, sum(child.length for child in children))
    for child in children:
        message += number(4, child.length)
    return pb([(b"", child) for child in children], message)


def symlink(target: bytes) -> Node:
    return pb([], number(1, 4) + blob(2, target))


def folder(entries: dict[bytes, Node], sizes: Sizes) -> Node:
    """A plain folder, or where its block would be over the threshold, a HAMT."""
    plain = pb(sorted(entries.items()), number(1, 1))
    return plain if len(plain.block) <= sizes.threshold else hamt(list(entries.items()), 0)


def hamt(entries: list[tuple[bytes, Node]], level: int) -> Node:
    slots: dict[int, list[tuple[bytes, Node]]] = {}
    for name, node in entries:
        slots.setdefault(name_hash(name)[level], []).append((name, node))
    links = []
    bits = 0
    for slot, here in sorted(slots.items()):
        bits |= 1 << slot
        prefix = f"{slot:02X}".encode()
        links.append((prefix + here[0][0], here[0][1]) if len(here) == 1 else (prefix, hamt(here, level + 1)))
    field_bytes = bits.to_bytes(32, "big").lstrip(b"\0")
    message = number(1, 5) + blob(2, field_bytes) + number(5, 0x22) + number(6, 256)
    return pb(links, message)


def name_hash(name: bytes) -> bytes:
    return mmh3.hash64(name, signed=False)[0].to_bytes(8, "big")


def dag(content: Content, sizes: Sizes) -> Node:
    """The DAG of bytes, a link, or a folder's mapping from names to contents."""
    if isinstance(content, bytes):
        return file(content, sizes)
    if isinstance(content, Link):
        return symlink(content.target)
    return folder({name: dag(below, sizes) for name, below in content.items()}, sizes)


def section(node: Node) -> bytes:
    return varint(len(node.cid + node.block)) + node.cid + node.block


def header(root: bytes) -> bytes:
    body = bytes.fromhex("a265726f6f747381d82a582500") + root + bytes.fromhex("6776657273696f6e01")
    return varint(len(body)) + body


def car(root: Node) -> bytes:
    """The CARv1: depth-first pre-order, repeated blocks repeated."""
    return header(root.cid) + b"".join(section(node) for node in root.preorder())
