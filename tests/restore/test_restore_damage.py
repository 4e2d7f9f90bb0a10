"""CARs that are cut or have other bytes after their last block say so, though all that was asked for was there."""

from pathlib import Path

import pytest

from ptolemy_core.restore import batches
from tests.cli.commands import printed, ptolemy
from tests.reader.encoder import (
    Dag,
    car,
    car_v2,
    directory,
    file,
    file_node,
    header,
    leaf,
    sample,
    section,
    write,
)
from tests.stages.conftest import Scene

from .test_restore_same import TREE, car_files, restore
from .trees import extract, read_tree

DATA = car(sample())
EXTRA = section(leaf(b"an extra block").cid, b"an extra block")
DAMAGED = {
    "rubbish": DATA + b"rubbish",
    "cut in a block that nothing needs": DATA + EXTRA[:-3],
    "a section of another kind of CID": DATA + b"\x05\x09abcd",
    "rubbish after zeros": DATA + bytes(5000) + b"x",
    "rubbish after a block more": DATA + EXTRA + b"\xff" * 12,
    "cut payload of version 2": car_v2(DATA + EXTRA)[:-3],
    "each block once, and rubbish": header(sample().cid)
    + b"".join(section(*block) for block in dict(sample().blocks).items())
    + b"\x7frubbish",
}
WHOLE = {
    "whole": DATA,
    "padded": DATA + bytes(5000),
    "a block more": DATA + EXTRA,
    "version 2 with an index": car_v2(DATA, b"an index"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_behind_what_is_needed_is_a_warning_with_a_code(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.car", DAMAGED[kind])
    result = ptolemy("extract", path, "--to", tmp_path / "to", code=3)
    assert "warning: " in result.stderr
    assert "a.car is damaged or incomplete" in result.stderr
    assert (tmp_path / "to/folder/inner").read_bytes() == b"twenty bytes of file"
    result = ptolemy("extract", path, "--list", code=3)
    assert "folder/inner" in result.stdout
    assert "is damaged or incomplete" in result.stderr
    report = extract([path], tmp_path / "again")
    assert report.ok
    assert len(report.warnings) == 1


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_cars_give_no_warning(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.car", WHOLE[kind])
    assert extract([path], tmp_path / "to").warnings == []
    assert printed("extract", path, "--to", tmp_path / "to")["warnings"] == []
    ptolemy("extract", path, "--list")


def test_problems_count_more_than_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", DATA[: len(DATA) // 2])
    ptolemy("extract", path, "--to", tmp_path / "to", code=1)


def test_restore_says_that_a_car_has_rubbish_in_it(
    stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PTOLEMY_PG_URL", raising=False)
    stage.run(TREE)
    assert restore(stage, tmp_path / "to").warnings == []
    path = car_files(stage)[0]
    path.write_bytes(path.read_bytes() + bytes(100) + b"rubbish")
    report = restore(stage, tmp_path / "again")
    assert report.ok
    assert path.name in report.warnings[0]
    assert read_tree(tmp_path / "again") == TREE
    result = ptolemy("restore", stage.name, "--to", tmp_path / "to", code=3)
    assert "is damaged or incomplete" in result.stderr


def sha3(content: bytes) -> Dag:
    return Dag(((bytes([1, 0x55, 0x16, 0x20]) + bytes(32), content),), len(content))


def shortened(content: bytes) -> Dag:
    return Dag(((bytes([1, 0x55, 0x12, 20]) + leaf(content).cid[4:24], content),), len(content))


@pytest.mark.parametrize("kind", [sha3, shortened])
def test_a_hash_that_is_not_supported_is_not_called_a_wrong_one(tmp_path: Path, kind: object) -> None:
    make = sha3 if kind is sha3 else shortened
    tree = directory({b"one": make(b"x" * 9), b"two": file_node([leaf(b"a"), make(b"y" * 9)])})
    problems = dict(extract([write(tmp_path / "a.car", car(tree))], tmp_path / "to").problems)
    assert problems.keys() == {"one", "two"}
    for reason in problems.values():
        assert "isn't supported" in reason
        assert "another hash" not in reason
    assert batches.hash_fault


@pytest.mark.parametrize(
    ("size", "sizes", "said"),
    [
        (12, [8, 4], ""),
        (12, [8, 8], "a leaf of 4 bytes where 8 are stated"),
        (10, [8, 4], "in a file of 10 bytes"),
    ],
)
def test_a_leafs_size_is_told_from_its_place(tmp_path: Path, size: int, sizes: list[int], said: str) -> None:
    bad = file_node([leaf(b"12345678"), leaf(b"1234")], size, sizes)
    report = extract(
        [write(tmp_path / "a.car", car(directory({b"f": bad, b"g": file(b"x")})))], tmp_path / "to"
    )
    assert [said in reason for _, reason in report.problems] == ([True] if said else [])
