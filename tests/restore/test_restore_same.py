"""What a scan saw comes back from CARs alone, and with the catalog's help: names, bytes, links, empty ones."""

import itertools
import os
import sysconfig
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings

from ptolemy_core.restore import Extraction, ProjectRestore
from ptolemy_core.restore.target import STATE
from tests.car import scene
from tests.dag import oracle
from tests.stages.conftest import PROFILE, Scene

from .trees import CONTENTS, extract, read_tree

BIG = bytes(range(256)) * 20  # five shards
TREE: oracle.Content = {
    b"a": b"first",
    b"big": BIG,
    b"big.ptolemy0": b"a real file, not a shard",
    b"big.ptolemy_": b"nor this",
    b"d": {b"link": oracle.Link(b"../a"), b"void": {}, b"dangling": oracle.Link(b"\xff nowhere")},
    b"empty": b"",
    b"many": {b"file number %d" % n: b"%d" % n for n in range(40)},  # a HAMT under the profile
    b"x.ptolemy0": {b"y.ptolemy1": b"real", b"\xff\n": BIG[:3000]},
}


def car_files(stage: Scene) -> list[Path]:
    return [stage.staging / row.file_name for row in stage.cars()]


def restore(stage: Scene, to: Path, *wanted: bytes, **options: Any) -> Any:
    own = {name: options.pop(name) for name in ("folders", "scan_id") if name in options}
    paths = [path.replace(b"/", b"\0") for path in wanted]
    return ProjectRestore(stage.catalog, stage.name, wanted=paths, profile=PROFILE, **own).write(
        os.fsencode(to), **options
    )


@pytest.fixture
def built(stage: Scene) -> Scene:
    stage.run(TREE)
    assert len(stage.cars()) > 2
    return stage


def test_whole_project_from_cars_alone(built: Scene, tmp_path: Path) -> None:
    report = extract(car_files(built), tmp_path / "to")
    assert report.ok
    assert read_tree(tmp_path / "to") == TREE
    assert (report.files, report.links) == (47, 2)
    assert report.written_bytes == sum(row.size for row in built.files() if row.kind == 0)


def test_whole_project_with_the_catalog(built: Scene, tmp_path: Path) -> None:
    os.utime(built.target / "a", ns=(1, 1_234_567_890_123_456_789))
    os.utime(built.target / "d/link", ns=(1, 987_654_321_000_000_001), follow_symlinks=False)
    os.utime(built.target / "d/void", ns=(1, 987_654_321_000_000_002))
    built.scan()
    built.plan()
    built.blitz()
    report = restore(built, tmp_path / "to")
    assert report.problems == []
    assert read_tree(tmp_path / "to") == TREE
    for row in built.files():
        place = os.fsencode(tmp_path / "to") + b"/" + bytes(row.path).replace(b"\0", b"/")
        assert os.lstat(place).st_mtime_ns == row.mtime


_COUNT = itertools.count()


@given(content=CONTENTS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_comes_back(make: Any, tmp_path: Path, content: dict[bytes, Any]) -> None:
    assume(STATE not in content)  # a scan takes it for the folder of an unfinished restore
    name = f"p{next(_COUNT)}"
    stage = make(name)
    stage.run(content)
    cars = partial(extract, car_files(stage), complete=True)  # a last shard may be as large as the others
    for how, folder in ((cars, "extract"), (partial(restore, stage), "restore")):
        to = tmp_path / name / folder
        report = how(to)
        assert report.problems == []
        assert read_tree(to) == content
        again = how(to)
        assert (again.files, again.links, again.written_bytes) == (0, 0, 0)
        assert read_tree(to) == content


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (b"a", {b"a": b"first"}),
        (b"big", {b"big": BIG}),
        (b"big.ptolemy0", {b"big.ptolemy0": b"a real file, not a shard"}),
        (b"d/link", {b"d": {b"link": oracle.Link(b"../a")}}),
        (b"d/void", {b"d": {b"void": {}}}),
        (b"x.ptolemy0/y.ptolemy1", {b"x.ptolemy0": {b"y.ptolemy1": b"real"}}),
        (b"many/file number 17", {b"many": {b"file number 17": b"17"}}),
        (b"x.ptolemy0", {b"x.ptolemy0": TREE[b"x.ptolemy0"]}),  # type: ignore[index]
    ],
)
def test_one_file_or_folder(built: Scene, tmp_path: Path, wanted: bytes, expected: oracle.Content) -> None:
    assert extract(car_files(built), tmp_path / "x", wanted).ok
    assert read_tree(tmp_path / "x") == expected
    assert restore(built, tmp_path / "r", wanted).ok
    assert read_tree(tmp_path / "r") == expected


def test_several_wanted(built: Scene, tmp_path: Path) -> None:
    assert extract(car_files(built), tmp_path / "x", b"a", b"d/void").ok
    assert read_tree(tmp_path / "x") == {b"a": b"first", b"d": {b"void": {}}}


def test_what_is_not_there_is_named(built: Scene, tmp_path: Path) -> None:
    report = extract(car_files(built), tmp_path / "x", b"a", b"d/nothing")
    assert report.problems == [("d/nothing", "isn't in these CARs")]
    assert read_tree(tmp_path / "x") == {b"a": b"first"}


def test_order_of_cars_does_not_matter(built: Scene, tmp_path: Path) -> None:
    assert extract(car_files(built)[::-1], tmp_path / "to").ok
    assert read_tree(tmp_path / "to") == TREE


def test_padded_pieces_are_cars(built: Scene, tmp_path: Path) -> None:
    """A storage provider gives back the piece: the CAR with zeros up to its size."""
    for row, path in zip(built.cars(), car_files(built), strict=True):
        os.truncate(path, row.piece_size // 128 * 127)
    assert extract(car_files(built), tmp_path / "x").ok
    assert read_tree(tmp_path / "x") == TREE
    assert restore(built, tmp_path / "r").ok
    assert read_tree(tmp_path / "r") == TREE


def test_older_scan_comes_back(built: Scene, tmp_path: Path) -> None:
    first = built.files()[0].first_scan
    (built.target / "a").write_bytes(b"second version")
    (built.target / "big").write_bytes(BIG[::-1] + b"more")
    (built.target / "new").write_bytes(b"new")
    os.unlink(built.target / "empty")
    built.scan()
    built.plan()
    built.blitz()
    now = read_tree(built.target)
    assert restore(built, tmp_path / "now").ok
    assert read_tree(tmp_path / "now") == now
    assert restore(built, tmp_path / "then", scan_id=first).ok
    assert read_tree(tmp_path / "then") == TREE


def test_versions_in_one_set_of_cars_are_told_apart(built: Scene, tmp_path: Path) -> None:
    (built.target / "a").write_bytes(b"second version")
    (built.target / "big").write_bytes(BIG[::-1])
    built.scan()
    built.plan()
    built.blitz()
    report = extract(car_files(built), tmp_path / "to")
    problems = dict(report.problems)
    assert problems.keys() == {"a", "big"}
    assert "already exists and differs" in problems["a"]
    assert "is in two CARs with different content" in problems["big"]


def test_listing_holds_every_entry(built: Scene) -> None:
    problems: list[Any] = []
    with Extraction(car_files(built)) as extraction:
        found = {b"/".join(names) for _, names, _ in extraction.entries(lambda *p: problems.append(p))}
    scanned = {bytes(row.path).replace(b"\0", b"/") for row in built.files()}
    assert found - scanned == {b"d", b"many", b"x.ptolemy0"}  # folders that aren't empty
    assert scanned <= found
    assert problems == []


def test_deep_trees(tmp_path: Path) -> None:
    """Deeper than a path may be long, and than descriptors are kept open."""
    content: oracle.Content = {b"file": b"at the bottom", b"void": {}}
    for level in range(300):
        content = {b"folder %03d %s" % (level, b"x" * 20): content, b"beside": b"%d" % level}
    top = tmp_path / "src"
    os.mkdir(top)
    _write_deep(top, content)
    scene.build(os.fsencode(top), tmp_path)
    (car,) = tmp_path.glob("*.car")
    report = extract([car], tmp_path / "to")
    assert report.problems == []
    assert (report.files, report.kept) == (301, 0)
    again = extract([car], tmp_path / "to")
    assert (again.files, again.folders, again.kept) == (0, 0, 301 + 301)


def _write_deep(top: Path, content: Any) -> None:
    here = os.open(top, os.O_RDONLY)
    while True:
        below = None
        for name, value in content.items():
            if isinstance(value, dict):
                os.mkdir(name, dir_fd=here)
                below = (name, value) if value else below
            else:
                with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
                    file.write(value)
        if below is None:
            os.close(here)
            return
        deeper = os.open(below[0], os.O_RDONLY, dir_fd=here)
        os.close(here)
        here, content = deeper, below[1]


@pytest.mark.slow
def test_real_files_come_back(tmp_path: Path) -> None:
    """Python's own library, under the real profile."""
    source = sysconfig.get_path("stdlib")
    staging = tmp_path / "staging"
    staging.mkdir()
    scene.build(os.fsencode(source), staging)
    (car,) = staging.glob("*.car")
    assert extract([car], tmp_path / "to").ok
    assert _equal(source, str(tmp_path / "to")) > 1000


def _equal(one: str, other: str) -> int:
    assert sorted(os.listdir(one)) == sorted(os.listdir(other))
    count = 0
    for entry in os.scandir(one):
        there = os.path.join(other, entry.name)
        if entry.is_symlink():
            assert os.readlink(entry.path) == os.readlink(there)
        elif entry.is_dir():
            count += _equal(entry.path, there)
            continue
        else:
            assert Path(entry.path).read_bytes() == Path(there).read_bytes()
        count += 1
    return count
