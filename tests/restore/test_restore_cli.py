"""`ptolemy extract` and `ptolemy restore`, as a user types them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import error_of, printed, ptolemy
from tests.dag import oracle
from tests.reader.encoder import car, directory, file, leaf, write
from tests.stages.conftest import Scene

from .test_restore_same import car_files
from .trees import read_tree

CARS = Path(__file__).parents[1] / "vectors" / "cars"
IPFS_CAR = CARS / "peers/ipfs-car.car"
TREE: oracle.Content = {
    b"a": b"first",
    b"d": {b"link": oracle.Link(b"../a"), b"void": {}},
    b"not utf-8 \xff\n": b"odd",
    b"x.ptolemy0": b"real",
}


def test_one_folder_is_no_plural(tmp_path: Path) -> None:
    path = write(tmp_path / "a.car", car(directory({b"d": directory({})})))
    assert (
        "0 files (0 B), 0 links, 1 folder written" in ptolemy("extract", path, "--to", tmp_path / "to").stderr
    )


def test_extract_says_what_it_wrote(tmp_path: Path) -> None:
    to = tmp_path / "to"
    assert "4 files (1.02 KiB), 0 links, 2 folders written" in ptolemy("extract", IPFS_CAR, "--to", to).stderr
    assert "6 entries were there already" in ptolemy("extract", IPFS_CAR, "--to", to).stderr
    assert (to / "sub/b.txt").read_bytes() == b"in a folder\n"
    report = printed("extract", IPFS_CAR, "--to", tmp_path / "again", "--path", "sub/deep", "-p", "a.txt")
    assert (report["files"], report["bytes_written"], report["problems"]) == (2, 1030, [])
    assert read_tree(tmp_path / "again") == {
        b"a.txt": b"first\n",
        b"sub": {b"deep": {b"numbers.bin": bytes(range(256)) * 4}},
    }


def test_extract_needs_no_dagster(tmp_path: Path) -> None:
    code = (
        "import sys; from ptolemy_dagster.cli.app import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'dagster']"
    )
    subprocess.run(
        [sys.executable, "-c", code, "extract", str(IPFS_CAR), "--to", str(tmp_path / "to")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert (tmp_path / "to/a.txt").exists()


def test_extract_list(tmp_path: Path) -> None:
    rows = printed("extract", IPFS_CAR, "--list")
    assert [(row["kind"], row["size"], row["path"]) for row in rows] == [
        ("file", 6, "a.txt"),
        ("file", 0, "empty.txt"),
        ("directory", 0, "sub"),
        ("file", 12, "sub/b.txt"),
        ("directory", 0, "sub/deep"),
        ("file", 1024, "sub/deep/numbers.bin"),
    ]
    assert rows[0]["cid"] == "bafkreifwiduebmm5g6dgbmzpwunoddlh3tfuvbmwukphxvzmdmvoleupie"
    assert "sub/deep/numbers.bin" in ptolemy("extract", IPFS_CAR, "--list").stdout
    split = directory({b"f.ptolemy0": file(b"x" * 8), b"f.ptolemy2": leaf(b"z")})
    (row,) = printed("extract", write(tmp_path / "s.car", car(split)), "--list")
    assert (row["path"], row["size"], row["shards"]) == ("f", 9, "shards 0 to 2")
    assert "shard 1 of 3 or more missing" in row["problem"]


def test_extract_errors_are_sentences(tmp_path: Path) -> None:
    to = ("--to", tmp_path / "to")
    assert "no.car can't be read (No such file" in error_of("extract", tmp_path / "no.car", *to)
    (tmp_path / "text.car").write_text("no CAR at all")
    said = error_of("extract", tmp_path / "text.car", *to)
    assert "text.car" in said
    assert "at byte" in said
    assert "isn't in these CARs" in error_of("extract", IPFS_CAR, *to, "--path", "nope")
    assert "--root: not a CID" in error_of("extract", IPFS_CAR, *to, "--root", "nope")
    missing = CARS / "go-car-cmd/simple-unixfs-missing-blocks.car"
    said = error_of("extract", missing, "--to", tmp_path / "part")
    assert "b/5/E.txt: the block QmabQNoyptSoGBrQes6Pq44q7E4pkzXR2soPrLQH8tcmM7 is missing" in said
    assert (tmp_path / "part/a/1/A.txt").exists()


@pytest.fixture
def built(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A project in the home that commands use."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PTOLEMY_PG_URL", raising=False)
    stage.run(TREE)
    return stage


def test_restore_of_a_project(built: Scene, tmp_path: Path) -> None:
    said = ptolemy("restore", built.name, "--to", tmp_path / "to").stderr
    assert "5 entries" in said
    assert read_tree(tmp_path / "to") == TREE
    report = printed("restore", built.name, "d", "a", "--to", tmp_path / "some")
    assert (report["files"], report["links"], report["empty_folders"]) == (1, 1, 1)
    assert read_tree(tmp_path / "some") == {
        b"a": b"first",
        b"d": {b"link": oracle.Link(b"../a"), b"void": {}},
    }


def test_restore_says_which_cars_are_missing(built: Scene, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = car_files(built)[0]
    needs = printed("restore", built.name, "--list")
    assert [car["path"] for car in needs["cars"]] == [str(path) for path in car_files(built)]
    path.rename(elsewhere / path.name)
    said = error_of("restore", built.name, "--to", tmp_path / "to")
    assert f"{path.name}: not found" in said
    assert "--cars" in said
    assert not (tmp_path / "to").exists()
    assert path.stem in ptolemy("restore", built.name, "--list", code=1).stdout
    ptolemy("restore", built.name, "--to", tmp_path / "to", "--partial", code=1)
    ptolemy("restore", built.name, "--to", tmp_path / "to", "--cars", elsewhere, "--cars", built.staging)
    assert read_tree(tmp_path / "to") == TREE


def test_restore_errors_are_sentences(built: Scene, tmp_path: Path) -> None:
    assert "no project 'nope'" in error_of("restore", "nope", "--to", tmp_path / "to")
    assert "no entry 'nope'" in error_of("restore", built.name, "nope", "--to", tmp_path / "to")
    assert "has no scan 77" in error_of("restore", built.name, "--scan", "77", "--to", tmp_path / "to")
    ptolemy("restore", built.name, code=2)
    (tmp_path / "to").mkdir()
    (tmp_path / "to/a").write_bytes(b"mine")
    said = error_of("restore", built.name, "a", "--to", tmp_path / "to")
    assert "a: already exists and differs" in said
    ptolemy("restore", built.name, "a", "--to", tmp_path / "to", "--overwrite")
    assert (tmp_path / "to/a").read_bytes() == b"first"
    assert json.loads(ptolemy("restore", built.name, "--list", "--json").stdout)["entries"] == 5
