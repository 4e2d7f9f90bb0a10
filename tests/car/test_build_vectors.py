"""Roots, CARs and piece CIDs of public inputs, as independent implementations have them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.car.root import root_cid
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.reader import open_car, verify_car

from . import inputs, scene

VECTORS = Path(__file__).parent.parent / "vectors" / "unixfs"
LARGE = 1 << 28
REPEATING = {
    "zeros-3MiB",
    "zeros-1GiB+1",
    "dir-duplicates",
    "dir-only-empty-dirs",
    "dir-exact-262144",
    "dir-exact-262145",
}
"""Vectors with a block that is met twice: our CAR has it twice."""


def records(*names: str) -> list[Any]:
    found = []
    for name in names:
        for record in json.loads((VECTORS / name).read_text()):
            slow = record["input"].get("size", 0) >= LARGE
            marks = [pytest.mark.slow] if slow else []
            found.append(pytest.param(record, id=record["id"], marks=marks))
    return found


def with_car() -> list[Any]:
    return [param for param in records("trees.json") if "car" in param.values[0]["expect"]]


@pytest.fixture
def made(tmp_path: Path, record: dict[str, Any]) -> Iterator[bytes]:
    """The record's input on disk; large ones don't stay."""
    path = tmp_path / "input"
    inputs.make(bytes(path), record["input"])
    yield bytes(path)
    if path.is_file():
        path.unlink()


def profile_of(record: dict[str, Any]) -> Profile:
    return Profile(chunk=record["chunk"]) if "chunk" in record else Profile()


@pytest.mark.parametrize("record", records("published.json", "trees.json"))
def test_root_cid_is_the_published_one(record: dict[str, Any], made: bytes) -> None:
    assert cid.to_text(root_cid(made, profile_of(record))) == record["expect"]["cid"]


@pytest.mark.parametrize("record", with_car())
def test_car_with_each_block_once_is_the_vectors(record: dict[str, Any], made: bytes, tmp_path: Path) -> None:
    expect = record["expect"]["car"]
    built, layout = scene.build(made, tmp_path)
    path = tmp_path / built.file_name
    digest = hashlib.sha256()
    size = blocks = 0
    for piece in once_each(path):
        digest.update(piece)
        size += len(piece)
        blocks += 1
    assert (digest.hexdigest(), size, blocks - 1) == (expect["sha256"], expect["size"], expect["blocks"])
    assert (blocks - 1 < len(layout)) == (record["id"] in REPEATING)
    if record["id"] not in REPEATING:
        assert built.sha256.hex() == expect["sha256"]
        assert built.car_size == path.stat().st_size == expect["size"]
        assert cid.to_text(built.piece_cid_v1) == expect["pieceCidV1"]
        assert cid.to_text(built.piece_cid_v2) == expect["pieceCidV2"]
        assert built.piece_size == expect["pieceSize"]
    report = verify_car(path)
    assert report.findings == ()
    assert cid.to_text(report.payload_cid or b"") == record["expect"]["cid"]
    path.unlink()


def once_each(path: Path) -> Iterator[bytes]:
    """The CAR's header, then each section whose block wasn't there before."""
    seen: set[bytes] = set()
    with open_car(path) as reader:
        first = True
        for batch in reader.batches():
            for section in batch.sections:
                if first:
                    yield path.open("rb").read(section.offset)
                    first = False
                if section.cid not in seen:
                    seen.add(section.cid)
                    end = section.data_offset + section.length
                    yield batch.buffer[section.offset - batch.base : end - batch.base]


def test_first_node_of_a_two_level_file_is_the_published_one(tmp_path: Path) -> None:
    records = json.loads((VECTORS / "published.json").read_text())
    record = next(record for record in records if "firstNode" in record["expect"])
    inputs.make(bytes(tmp_path / "input"), record["input"])
    built, layout = scene.build(bytes(tmp_path / "input"), tmp_path, profile_of(record))
    with open_car(tmp_path / built.file_name) as reader:
        sections = [section for batch in reader.batches() for section in batch.sections]
    assert len(sections) == len(layout) == 2003
    assert cid.to_text(sections[1].cid) == record["expect"]["firstNode"]
