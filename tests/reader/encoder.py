"""The slow, obvious encoder of CARs, dag-pb and UnixFS that makes the tests' good and bad CARs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ptolemy_core.dag.profile import Profile

RAW, DAG_PB = 0x55, 0x70
SMALL = Profile(chunk=8, width=3, hamt_threshold=400)
"""Deep trees of few bytes."""

# (the first 64 bits of murmur3-x64-128, by a package of another project), for names of (i * 37 + 11) % 256
MURMUR3 = {
    0: "0000000000000000",
    1: "932fc7cce617f1e7",
    7: "8340cc686662983b",
    8: "f0b144007f89ced7",
    9: "dbb3088eaec8a0b1",
    15: "2906f047b67f83ff",
    16: "da9c66580c5ef0fb",
    17: "78b8ee9a775e07d1",
    23: "01b7d4fb84dc53aa",
    24: "8372e2feeb61eb1c",
    25: "ed9e2943729d5da2",
    31: "b1ca061ed4c5532f",
    32: "af7374eb8efe799b",
    33: "08b88a88c3099ba9",
    255: "8e5f39b2d01cd62f",
}


def uvarint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def cid_of(codec: int, data: bytes) -> bytes:
    return bytes([1, codec, 0x12, 0x20]) + hashlib.sha256(data).digest()


def field(tag: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return bytes([tag << 3]) + uvarint(value)
    return bytes([tag << 3 | 2]) + uvarint(len(value)) + value


@dataclass(frozen=True)
class Dag:
    """A DAG's blocks in depth-first pre-order with duplicates, its root first."""

    blocks: tuple[tuple[bytes, bytes], ...]
    size: int = 0

    @property
    def cid(self) -> bytes:
        return self.blocks[0][0]

    @property
    def tsize(self) -> int:
        return sum(len(data) for _, data in self.blocks)


Named = tuple[bytes, Dag]


def link(name: bytes, child: Dag, tsize: int | None = None) -> bytes:
    size = child.tsize if tsize is None else tsize
    return field(2, field(1, child.cid) + field(2, name) + field(3, size))


def node(links: bytes, data: bytes, children: Sequence[Dag], size: int = 0) -> Dag:
    block = links + field(1, data)
    below = [each for child in children for each in child.blocks]
    return Dag(((cid_of(DAG_PB, block), block), *below), size)


def leaf(content: bytes) -> Dag:
    return Dag(((cid_of(RAW, content), content),), len(content))


def file_node(
    children: Sequence[Dag], filesize: int | None = None, sizes: Sequence[int] | None = None
) -> Dag:
    total = sum(child.size for child in children)
    data = field(1, 2) + field(3, total if filesize is None else filesize)
    for size in [child.size for child in children] if sizes is None else sizes:
        data += field(4, size)
    return node(b"".join(link(b"", child) for child in children), data, children, total)


def file(content: bytes, profile: Profile = SMALL) -> Dag:
    level = [leaf(content[at : at + profile.chunk]) for at in range(0, len(content), profile.chunk)]
    if not level:
        return leaf(b"")
    while len(level) > 1:
        level = [file_node(level[at : at + profile.width]) for at in range(0, len(level), profile.width)]
    return level[0]


def symlink(target: bytes) -> Dag:
    return node(b"", field(1, 4) + field(2, target), [], len(target))


def plain_directory(entries: Sequence[Named]) -> Dag:
    return node(b"".join(link(name, child) for name, child in entries), field(1, 1), [c for _, c in entries])


def murmur(name: bytes) -> bytes:
    from ptolemy_core.reader import hamt  # its own oracle is the table above

    return hamt.murmur3(name).to_bytes(8, "big")


def shard(
    links: Sequence[tuple[int, bytes, Dag]],
    bits: bytes | None = None,
    fanout: int = 256,
    hash_type: int = 0x22,
) -> Dag:
    """A HAMT node of (slot, name, child); a name of b"" leads to a shard."""
    number = sum(1 << slot for slot, _, _ in links)
    taken = number.to_bytes((number.bit_length() + 7) // 8, "big") if bits is None else bits
    data = field(1, 5) + field(2, taken) + field(5, hash_type) + field(6, fanout)
    encoded = b"".join(link(b"%02X" % slot + name, child) for slot, name, child in links)
    return node(encoded, data, [child for _, _, child in links])


def hamt_directory(entries: Mapping[bytes, Dag], level: int = 0) -> Dag:
    slots: dict[int, dict[bytes, Dag]] = {}
    for name, child in entries.items():
        slots.setdefault(murmur(name)[level], {})[name] = child
    links = []
    for slot, here in sorted(slots.items()):
        if len(here) > 1:
            links.append((slot, b"", hamt_directory(here, level + 1)))
        else:
            links += [(slot, name, child) for name, child in here.items()]
    return shard(links)


def directory(entries: Mapping[bytes, Dag], profile: Profile = SMALL) -> Dag:
    plain = plain_directory(sorted(entries.items()))
    return plain if len(plain.blocks[0][1]) <= profile.hamt_threshold else hamt_directory(entries)


def root_field(cid: bytes) -> bytes:
    size = len(cid) + 1
    head = bytes([0x40 | size]) if size < 24 else bytes([0x58, size])
    return b"\xd8\x2a" + head + b"\x00" + cid


def header(*roots: bytes, version: int = 1) -> bytes:
    assert len(roots) < 24
    body = b"\xa2\x65roots" + bytes([0x80 | len(roots)]) + b"".join(map(root_field, roots))
    body += b"\x67version" + bytes([version])
    return uvarint(len(body)) + body


def section(cid: bytes, data: bytes) -> bytes:
    return uvarint(len(cid) + len(data)) + cid + data


def car(dag: Dag, root: bytes | None = None) -> bytes:
    return header(root or dag.cid) + b"".join(section(cid, data) for cid, data in dag.blocks)


def car_v2(payload: bytes, index: bytes = b"", padding: int = 0) -> bytes:
    at = 51 + padding
    numbers = [at, len(payload), at + len(payload) if index else 0]
    head = bytes.fromhex("0aa16776657273696f6e02") + bytes(16)
    return head + b"".join(n.to_bytes(8, "little") for n in numbers) + bytes(padding) + payload + index


def with_blocks(dag: Dag, blocks: Sequence[tuple[bytes, bytes]]) -> Dag:
    return replace(dag, blocks=tuple(blocks))


def sample() -> Dag:
    """A tree with every kind of thing in it, under SMALL."""
    return directory(
        {
            b"big": file(bytes(range(100))),
            b"empty": file(b""),
            b"folder": directory({b"inner": file(b"twenty bytes of file"), b"none": directory({})}),
            b"link": symlink(b"folder/inner"),
            b"many": directory({b"entry-%d" % n: file(b"%d" % (n % 7)) for n in range(40)}),
            b"same": file(bytes(range(100))),
        }
    )


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
