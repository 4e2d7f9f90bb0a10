"""Links that are read the quick way are those that the slow way reads, and nothing else is."""

import random

import pytest

from ptolemy_core.dag import cid, varint
from ptolemy_core.kernel import blocks
from ptolemy_core.reader import dagpb
from ptolemy_core.reader.links import Link

TARGET = cid.of_digest(cid.RAW, bytes(range(32)))


def field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + varint.encode(len(value)) + value


def link(name: bytes, tsize: bytes, target: bytes = TARGET) -> bytes:
    return field(0x12, field(0x0A, target) + field(0x12, name) + b"\x18" + tsize)


@pytest.mark.parametrize(
    "name", [b"", b"a", b"x" * 40, b"x" * 81, b"x" * 82, b"x" * 127, b"x" * 128, b"x" * 300]
)
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16383, 16384, 1 << 40])
def test_links_of_any_length_are_read(name: bytes, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dagpb, "_MANY", 0)
    block = link(name, varint.encode(size)) + link(b"z", b"\x01") + field(0x0A, b"\x08\x01")
    node = dagpb.decode_node(block)
    assert node.links == (Link(TARGET, name, size), Link(TARGET, b"z", 1))


def test_a_changed_byte_is_read_or_refused_as_without_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    block = link(b"name", b"\x85\x01") + link(b"other", b"\x07") + field(0x0A, b"\x08\x01")
    chosen = random.Random(1)
    variants = [
        block[:at] + bytes((value,)) + block[at + 1 :]
        for at in range(len(block))
        for value in {0, 1, 0x7F, 0x80, 0x85, 0xFF, block[at] ^ 1, chosen.randrange(256)}
    ]
    variants += [block[:cut] for cut in range(len(block))]

    def read(one: bytes) -> object:
        try:
            return dagpb.decode_node(one)
        except dagpb.DagPbError as error:
            return str(error)

    monkeypatch.setattr(dagpb, "_MANY", 0)
    quick = [read(one) for one in variants]
    monkeypatch.setattr(blocks, "compiled", lambda: None)
    assert [read(one) for one in variants] == quick
