"""dag-pb and UnixFS messages: the canonical bytes decode, all others are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core.reader import DagPbError, Link, Node, Type, UnixFs, decode_node, decode_unixfs
from tests.reader.encoder import RAW, cid_of, field, uvarint

CID = cid_of(RAW, b"abc")
HASH = field(1, CID)
GOOD = HASH + field(2, b"name") + field(3, 5)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (GOOD, Link(CID, b"name", 5)),
        (HASH, Link(CID, None, None)),
        (HASH + field(2, b""), Link(CID, b"", None)),
        (HASH + field(3, 0), Link(CID, None, 0)),
        (HASH + field(2, b"\xff\x00/" * 100) + field(3, 2**63 - 1), Link(CID, b"\xff\x00/" * 100, 2**63 - 1)),
        (field(1, b"\x12\x20" + bytes(32)), Link(b"\x12\x20" + bytes(32), None, None)),
        (field(1, b"\x01\x55\x00\x02hi"), Link(b"\x01\x55\x00\x02hi", None, None)),
    ],
)
def test_link_decodes(body: bytes, expected: Link) -> None:
    assert decode_node(field(2, body)) == Node((expected,), None)
    assert decode_node(field(2, body) * 2 + field(1, b"")) == Node((expected, expected), b"")


BAD_LINKS = {
    "no hash": field(2, b"name") + field(3, 5),
    "name before hash": field(2, b"name") + HASH,
    "tsize before name": HASH + field(3, 5) + field(2, b"name"),
    "hash twice": HASH + HASH,
    "name twice": GOOD[:-2] + field(2, b"name"),
    "tsize twice": GOOD + field(3, 5),
    "unknown field": GOOD + field(4, 1),
    "tsize not minimal": HASH + field(2, b"") + b"\x18\x85\x00",
    "tsize cut": HASH + field(2, b"") + b"\x18\x85",
    "tsize missing": HASH + field(2, b"") + b"\x18",
    "name longer than the link": HASH + b"\x12\x05name",
    "hash with a byte more": field(1, CID + b"\x00"),
    "hash with a byte less": field(1, CID[:-1]),
    "hash of version 3": field(1, b"\x03" + CID[1:]),
    "hash as a number": b"\x08\x05",
}


@pytest.mark.parametrize("body", BAD_LINKS.values(), ids=BAD_LINKS)
def test_bad_link_is_refused(body: bytes) -> None:
    with pytest.raises(DagPbError):
        decode_node(field(2, body))


BAD_NODES = {
    "data before links": field(1, b"x") + field(2, GOOD),
    "data twice": field(1, b"x") * 2,
    "data between links": field(2, GOOD) + field(1, b"") + field(2, GOOD),
    "unknown field": field(2, GOOD) + field(3, b"x"),
    "data cut": b"\x0a\x05abcd",
    "data without length": b"\x0a",
    "link cut": field(2, GOOD)[:-1],
    "link length not minimal": b"\x12" + bytes([len(GOOD) | 0x80, 0]) + GOOD,
    "field number not minimal": b"\x8a\x00\x01x",
    "huge length": b"\x12" + uvarint(2**62) + GOOD,
    "bytes after it": field(1, b"x") + b"\x00",
}


@pytest.mark.parametrize("block", BAD_NODES.values(), ids=BAD_NODES)
def test_bad_node_is_refused(block: bytes) -> None:
    with pytest.raises(DagPbError) as caught:
        decode_node(block)
    assert 0 <= caught.value.position <= len(block)


def encode_again(node: Node) -> bytes:
    out = b""
    for cid, name, tsize in node.links:
        body = field(1, cid)
        body += b"" if name is None else field(2, name)
        body += b"" if tsize is None else field(3, tsize)
        out += field(2, body)
    return out + (b"" if node.data is None else field(1, node.data))


@given(st.data())
def test_only_canonical_bytes_decode(data: st.DataObject) -> None:
    links = data.draw(st.integers(0, 3))
    block = bytearray(field(2, GOOD) * links + field(1, data.draw(st.binary(max_size=20))))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(block) - 1))
        block[at] = data.draw(st.integers(0, 255))
    try:
        decoded = decode_node(bytes(block))
    except DagPbError:
        return
    assert encode_again(decoded) == block


FILE = field(1, 2) + field(3, 300) + field(4, 200) + field(4, 100)


def test_unixfs_kinds() -> None:
    assert decode_unixfs(field(1, 1)) == UnixFs(Type.DIRECTORY)
    assert decode_unixfs(FILE) == UnixFs(Type.FILE, filesize=300, blocksizes=(200, 100))
    assert decode_unixfs(field(1, 4) + field(2, b"a/b")) == UnixFs(Type.SYMLINK, b"a/b")
    shard = field(1, 5) + field(2, b"\x01\x00") + field(5, 0x22) + field(6, 256)
    assert decode_unixfs(shard) == UnixFs(Type.HAMT, b"\x01\x00", hash_type=0x22, fanout=256)
    assert decode_unixfs(field(1, 0) + field(2, b"x") + field(3, 1)) == UnixFs(Type.RAW, b"x", 1)
    mode = decode_unixfs(field(1, 1) + field(7, 0o755) + field(8, field(1, 5)))
    assert mode.attributes == (7, 8)


BAD_UNIXFS = {
    "empty": b"",
    "no type": field(3, 5),
    "type 6": field(1, 6),
    "type twice": field(1, 2) * 2,
    "data twice": field(1, 4) + field(2, b"a") * 2,
    "fields in the wrong order": field(1, 2) + field(4, 5) + field(3, 5),
    "type not first": field(2, b"a") + field(1, 4),
    "packed blocksizes": field(1, 2) + field(3, 2) + field(4, b"\x01\x01"),
    "filesize not minimal": field(1, 2) + b"\x18\x85\x00",
    "data cut": field(1, 4) + b"\x12\x05abc",
    "unknown field": field(1, 2) + field(9, 1),
    "field as 32 bits": field(1, 2) + b"\x1d\x01\x02\x03\x04",
    "number cut": field(1, 2) + b"\x18",
    "group": b"\x08\x02\x13\x14",
}


@pytest.mark.parametrize("message", BAD_UNIXFS.values(), ids=BAD_UNIXFS)
def test_bad_unixfs_is_refused(message: bytes) -> None:
    with pytest.raises(DagPbError):
        decode_unixfs(message)


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    for decode in (decode_node, decode_unixfs):
        position = 0
        try:
            decode(data)
        except DagPbError as caught:
            position = caught.position
        assert 0 <= position <= len(data)
