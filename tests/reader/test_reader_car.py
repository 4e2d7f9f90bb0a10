"""The container: headers, sections, truncation, limits, CARv2."""

import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptolemy_core.reader import CarError, CarReader, inspect_car, open_car
from ptolemy_core.reader.car import MAX_HEADER, READ_SIZE
from tests.reader.encoder import (
    RAW,
    car,
    car_v2,
    cid_of,
    header,
    leaf,
    root_field,
    sample,
    section,
    uvarint,
    write,
)

CID = cid_of(RAW, b"abc")
V0 = b"\x12\x20" + bytes(range(32))
IDENTITY = b"\x01\x55\x00\x03abc"


def read(data: bytes, **options: object) -> tuple[CarReader, list[tuple[int, bytes, bytes]]]:
    reader = CarReader(io.BytesIO(data), "x.car", **options)  # type: ignore[arg-type]
    return reader, list(reader.blocks())


def error(data: bytes, **options: object) -> tuple[str, int]:
    with pytest.raises(CarError) as caught:
        read(data, **options)
    assert caught.value.name == "x.car"
    assert str(caught.value).startswith("x.car: ")
    assert str(caught.value).endswith(f"(at byte {caught.value.offset})")
    return caught.value.code, caught.value.offset


def test_header_with_one_root_is_59_bytes() -> None:
    assert len(header(CID)) == 59
    reader, blocks = read(header(CID) + section(CID, b"abc"))
    assert reader.header.roots == (CID,)
    assert blocks == [(59, CID, b"abc")]


@pytest.mark.parametrize("roots", [[], [V0], [IDENTITY], [CID, V0, IDENTITY, CID], [CID] * 23])
def test_any_number_and_kind_of_roots(roots: list[bytes]) -> None:
    assert read(header(*roots))[0].header.roots == tuple(roots)


def test_many_roots_have_a_longer_list_head() -> None:
    body = b"\xa2\x65roots\x99\x03\xe8" + root_field(CID) * 1000 + b"\x67version\x01"
    assert read(uvarint(len(body)) + body)[0].header.roots == (CID,) * 1000


HEAD = b"\xa2\x65roots\x81" + root_field(CID)
BAD_HEADERS = {
    "empty": b"",
    "no map": b"\x82\x01\x02",
    "no version": b"\xa1\x65roots\x80",
    "no roots": b"\xa1\x67version\x01",
    "keys in the wrong order": b"\xa2\x67version\x01\x65roots\x80",
    "another key": b"\xa3\x65roots\x80\x67version\x01\x68versions\x01",
    "count of keys": b"\xa3\x65roots\x80\x67version\x01",
    "roots null": b"\xa2\x65roots\xf6\x67version\x01",
    "indefinite map": b"\xbf\x65roots\x80\x67version\x01\xff",
    "indefinite list": b"\xa2\x65roots\x9f\xff\x67version\x01",
    "list head not minimal": b"\xa2\x65roots\x98\x00\x67version\x01",
    "version not minimal": b"\xa2\x65roots\x80\x67version\x18\x01",
    "version as text": b"\xa2\x65roots\x80\x67version\x611",
    "version negative": b"\xa2\x65roots\x80\x67version\x20",
    "more roots than are there": b"\xa2\x65roots\x82" + root_field(CID) + b"\x67version\x01",
    "2**63 roots": b"\xa2\x65roots\x9b\x80" + bytes(7) + b"\x67version\x01",
    "root without tag": b"\xa2\x65roots\x81" + root_field(CID)[2:] + b"\x67version\x01",
    "root without zero byte": b"\xa2\x65roots\x81\xd8\x2a\x58\x24" + CID + b"\x67version\x01",
    "root of no bytes": b"\xa2\x65roots\x81\xd8\x2a\x40\x67version\x01",
    "root too long": b"\xa2\x65roots\x81" + root_field(CID + b"\x00") + b"\x67version\x01",
    "root cut": b"\xa2\x65roots\x81" + root_field(CID[:-1]) + b"\x67version\x01",
    "root of version 2": b"\xa2\x65roots\x81" + root_field(b"\x02" + CID[1:]) + b"\x67version\x01",
    "bytes after it": HEAD + b"\x67version\x01\x00",
    "ends in the version": HEAD + b"\x67version",
    "ends in a head": b"\xa2\x65roots\x99\x01",
}


@pytest.mark.parametrize("body", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_malformed_header(body: bytes) -> None:
    assert error(uvarint(len(body)) + body)[0] == "header"


@pytest.mark.parametrize("version", [0, 2, 3, 23])
def test_unknown_version(version: int) -> None:
    assert error(header(CID, version=version)) == ("version", 1)


def test_header_too_large_is_refused_before_it_is_read() -> None:
    assert error(uvarint(MAX_HEADER + 1) + b"\xa2") == ("header", 0)
    assert error(uvarint(MAX_HEADER) + b"\xa2")[0] == "truncated"


def test_header_length_not_minimal() -> None:
    assert error(b"\xba\x00" + header(CID)[1:]) == ("header", 0)


def test_empty_file() -> None:
    assert error(b"") == ("truncated", 0)


@pytest.mark.parametrize("cid", [CID, V0, IDENTITY, b"\x01\x71\x13\x40" + bytes(64)])
def test_section_of_any_cid(cid: bytes) -> None:
    assert read(header(CID) + section(cid, b"") + section(cid, b"xyz"))[1] == [
        (59, cid, b""),
        (59 + 1 + len(cid), cid, b"xyz"),
    ]


BAD_SECTIONS = {
    "cid of version 2": (b"\x24\x02" + CID[1:], "cid"),
    "shorter than its cid": (b"\x23" + CID[:-1], "cid"),
    "digest longer than the section": (b"\x05\x01\x55\x12\x20\x00", "cid"),
    "one byte": (b"\x01\x01", "cid"),
    "cid v0 cut": (b"\x03\x12\x20\x00", "cid"),
    "cid varint not minimal": (b"\x08\x81\x00\x55\x12\x00\x00\x00\x00", "cid"),
    "length not minimal": (b"\xa7\x00" + CID + b"abc", "varint"),
    "length of ten bytes": (b"\xa7" + b"\x80" * 8 + b"\x01" + CID + b"abc", "varint"),
    "length past the end": (uvarint(40) + CID + b"abc", "truncated"),
    "length cut": (b"\xa7", "truncated"),
    "length 2**60": (uvarint(1 << 60) + CID, "section-too-large"),
    "length 0, then more": (b"\x00" + section(CID, b"abc"), "zero-section"),
    "length 0 at the end": (b"\x00", "trailing-bytes"),
    "zeros at the end": (bytes(5000), "trailing-bytes"),
}


@pytest.mark.parametrize("name", BAD_SECTIONS)
@pytest.mark.parametrize("before", [b"", section(CID, b"abc")], ids=["first", "second"])
def test_malformed_section(name: str, before: bytes) -> None:
    bad, code = BAD_SECTIONS[name]
    data = header(CID) + before + bad
    assert error(data) == (code, 59 + len(before))
    if before:
        assert next(CarReader(io.BytesIO(data), "x.car").blocks()) == (59, CID, b"abc")


def test_trailing_zeros_are_counted_over_many_reads(tmp_path: Path) -> None:
    data = car(sample())
    (found,) = inspect_car(write(tmp_path / "a.car", data + bytes(2 * READ_SIZE + 5))).findings
    assert (found.code, found.offset) == ("trailing-bytes", len(data))
    assert str(2 * READ_SIZE + 5) in found.message
    (found,) = inspect_car(write(tmp_path / "a.car", data + bytes(2 * READ_SIZE) + b"x")).findings
    assert (found.code, found.offset) == ("zero-section", len(data))


def test_section_limit_is_exact() -> None:
    data = header(CID) + section(CID, bytes(64))
    assert read(data, max_section=100)[1] == [(59, CID, bytes(64))]
    assert error(data, max_section=99) == ("section-too-large", 59)


@pytest.mark.parametrize("claim", [uvarint(1 << 60), uvarint((1 << 63) - 1), uvarint((8 << 20) + 1)])
@pytest.mark.parametrize("start", [b"", header(CID)], ids=["header", "section"])
def test_huge_claims_take_no_memory(tmp_path: Path, start: bytes, claim: bytes) -> None:
    path = write(tmp_path / "huge.car", start + claim + bytes(32 << 20))
    tracemalloc.start()
    try:
        assert len(inspect_car(path).findings) == 1
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_memory_is_bounded_however_long_the_car(tmp_path: Path) -> None:
    path = tmp_path / "long.car"
    block = section(cid_of(RAW, bytes(1 << 20)), bytes(1 << 20))
    with path.open("wb") as file:
        file.write(header(CID))
        for _ in range(64):
            file.write(block)
    tracemalloc.start()
    try:
        assert inspect_car(path).blocks == 64
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_every_truncation_is_found() -> None:
    data = car(sample())
    starts = {at for at, _, _ in read(data)[1]} | {len(data)}
    for end in range(len(data)):
        reader_error: CarError | None = None
        try:
            read(data[:end])
        except CarError as caught:
            reader_error = caught
        if end in starts:
            assert reader_error is None
        else:
            assert reader_error is not None, end
            assert reader_error.code == "truncated"
            assert reader_error.offset <= end


def test_sections_over_read_boundaries(tmp_path: Path) -> None:
    blocks = [leaf(bytes([n]) * (READ_SIZE // 3 - 17 * n)).blocks[0] for n in range(9)]
    blocks.append(leaf(bytes(READ_SIZE + READ_SIZE // 2)).blocks[0])
    path = write(tmp_path / "a.car", header(CID) + b"".join(section(*each) for each in blocks))
    with open_car(path) as reader:
        assert [(cid, data) for _, cid, data in reader.blocks()] == blocks
    with open_car(path) as reader:
        assert [(each.cid, each.length) for each in reader.sections()] == [(c, len(d)) for c, d in blocks]


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time, as a pipe may."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, self._step) if size >= 0 else self._step)


@pytest.mark.parametrize("step", [1, 7, 59, 1000])
def test_short_reads_change_nothing(step: int) -> None:
    data = car(sample())
    tapped = bytearray()
    reader = CarReader(Trickle(data, step), "x.car", tap=tapped.extend)  # type: ignore[arg-type]
    assert list(reader.blocks()) == read(data)[1]
    assert bytes(tapped) == data
    with pytest.raises(CarError):
        list(CarReader(Trickle(data + b"\x05\x01", step), "x.car").blocks())  # type: ignore[arg-type]


@pytest.mark.parametrize("padding", [0, 1, 1000, READ_SIZE + 3])
@pytest.mark.parametrize("index", [b"", b"index \x00 of any bytes"])
def test_car_v2_gives_its_payload(padding: int, index: bytes) -> None:
    payload = car(sample())
    reader, blocks = read(car_v2(payload, index, padding))
    assert reader.header.version == 2
    assert (reader.header.payload_offset, reader.header.payload_size) == (51 + padding, len(payload))
    assert (reader.header.index_offset > 0) == bool(index)
    shift = 51 + padding
    assert blocks == [(at + shift, cid, data) for at, cid, data in read(payload)[1]]


def test_car_v2_that_is_malformed() -> None:
    payload = car(sample())
    good = car_v2(payload, b"index")

    def with_number(at: int, value: int) -> bytes:
        return good[:at] + value.to_bytes(8, "little") + good[at + 8 :]

    assert error(with_number(27, 50))[0] == "header"  # the payload inside the header
    assert error(with_number(35, 0))[0] == "header"  # not finished
    assert error(with_number(43, 60))[0] == "header"  # the index inside the payload
    assert error(with_number(27, 1 << 62))[0] == "header"  # the index before the payload
    assert error(car_v2(payload)[:-1])[0] == "truncated"
    assert error(car_v2(payload[:59] + section(CID, b"abc"))[:-3])[0] == "truncated"
    assert error(car_v2(car_v2(payload)))[0] == "version"  # a CARv2 in a CARv2
    for end in range(51):
        assert error(good[:end])[0] in ("truncated", "header")


def test_car_v2_payload_at_a_place_that_is_not_there() -> None:
    good = car_v2(car(sample()))
    far = good[:27] + (1 << 62).to_bytes(8, "little") + good[35:]
    assert error(far)[0] == "truncated"


@given(data=st.binary(max_size=300), start=st.sampled_from([b"", header(CID), car_v2(b"")[:27]]))
def test_any_bytes_give_blocks_or_a_car_error(data: bytes, start: bytes) -> None:
    fault: CarError | None = None
    blocks: list[tuple[int, bytes, bytes]] = []
    try:
        blocks = read(start + data)[1]
    except CarError as caught:
        fault = caught
    assert fault is None or 0 <= fault.offset <= len(start + data)
    assert sum(len(each) for _, _, each in blocks) <= len(data)


def test_open_car_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.car", b"\x00")
    with pytest.raises(CarError, match=r"bad\.car"), open_car(path):
        pass
    with pytest.raises(FileNotFoundError), open_car(tmp_path / "none.car"):
        pass
    odd = bytes(tmp_path) + b"/\xff\n.car"
    with open(odd, "wb") as file:
        file.write(car(sample()))
    with open_car(odd) as reader:
        assert sum(1 for _ in reader.sections()) == len(sample().blocks)
