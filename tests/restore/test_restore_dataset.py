"""Extract knows a data set's own root among CARs: real names come back, and nothing is extracted twice."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.restore import Extraction
from ptolemy_core.stages.dataset import build_root
from tests.cli.commands import error_of, ptolemy
from tests.dag import oracle
from tests.reader.encoder import car, directory, leaf, write
from tests.stages.conftest import PROFILE, Scene

from .test_restore_same import car_files
from .trees import extract, read_tree

BIG = bytes(range(256)) * 20  # five shards
TREE: oracle.Content = {
    b"a": b"first",
    b"big": BIG,
    b"d": {b"link": oracle.Link(b"../a"), b"void": {}, b"two leaves": BIG[:600]},
    b"empty": b"",
    b"many": {b"file number %d" % n: b"%d" % n for n in range(40)},
    b"y.ptolemy0": b"a real file",
    b"y.ptolemy1": b"another real file",
    b"z.ptolemy_": b"so is this",
}


@pytest.fixture
def built(stage: Scene) -> Scene:
    stage.run(TREE)
    return stage


def root_of(stage: Scene) -> Path:
    return stage.staging / build_root(stage.catalog, stage.name, profile=PROFILE)[0].file_name


def listed(cars: Sequence[Path]) -> list[bytes]:
    problems: list[Any] = []
    with Extraction(cars) as extraction:
        found = [b"/".join(path) for _, path, _ in extraction.entries(lambda *p: problems.append(p))]
    assert problems == []
    return found


@pytest.mark.parametrize("first", [True, False])
def test_real_names_come_back_with_the_root_among_the_cars(built: Scene, tmp_path: Path, first: bool) -> None:
    cars = car_files(built)
    assert len(cars) > 2
    root = root_of(built)
    report = extract([root, *cars] if first else [*cars, root], tmp_path / "to")
    assert report.problems == []
    assert report.warnings == []
    assert read_tree(tmp_path / "to") == TREE
    assert (report.kept, report.files) == (0, 47)


def test_no_file_is_listed_twice_with_the_root_among_the_cars(built: Scene) -> None:
    found = listed([*car_files(built), root_of(built)])
    assert len(found) == len(set(found))
    assert {b"y.ptolemy0", b"y.ptolemy1", b"z.ptolemy_", b"big"} <= set(found)
    assert b"y" not in found


def test_parts_of_a_tree_come_by_their_real_names(built: Scene, tmp_path: Path) -> None:
    cars = [*car_files(built), root_of(built)]
    for wanted in (b"y.ptolemy0", b"big", b"d", b"many/file number 7"):
        to = tmp_path / wanted.decode().replace("/", "-")
        report = extract(cars, to, wanted)
        assert (report.problems, report.kept) == ([], 0)
        expected: Any = TREE
        got: Any = read_tree(to)
        for name in wanted.split(b"/"):
            assert list(got) == [name]
            expected, got = expected[name], got[name]
        assert got == expected


def test_the_root_alone_says_what_it_is(built: Scene, tmp_path: Path) -> None:
    root = root_of(built)
    for options in (("--list",), ("--to", tmp_path / "to")):
        said = error_of("extract", root, *options)
        assert f"{root.name}: this CAR is a data set's root" in said
        assert "is missing" not in said
    assert not (tmp_path / "to").exists()


def test_a_damaged_car_is_not_taken_for_a_root(built: Scene, tmp_path: Path) -> None:
    for path in car_files(built):
        data = path.read_bytes()
        cut = write(tmp_path / "cut.car", data[: len(data) * 2 // 3])
        report = extract([cut], tmp_path / path.stem)
        assert report.problems or report.warnings
        with Extraction([cut]) as extraction:
            assert extraction.select().alone == []


def test_a_car_that_is_cut_before_its_first_leaf_is_called_cut_and_no_root(
    built: Scene, tmp_path: Path
) -> None:
    for path in car_files(built):
        data = path.read_bytes()
        for end in range(100, len(data), 101):
            with Extraction([write(tmp_path / "cut.car", data[:end])]) as extraction:
                assert extraction.select().alone == []
    cut = write(tmp_path / "one.car", car(directory({b"a": leaf(b"content")}))[:-3])
    report = extract([cut], tmp_path / "one")
    assert ["one.car: a section of" in problem for _, problem in report.problems] == [True]


def test_the_root_with_some_of_the_cars_names_what_is_missing(built: Scene, tmp_path: Path) -> None:
    some = car_files(built)[:-1]
    report = extract([*some, root_of(built)], tmp_path / "to")
    assert report.problems
    assert all("is missing" in reason for _, reason in report.problems)
    tree: Any = read_tree(tmp_path / "to")
    tree.pop(b".ptolemy-restore", None)
    assert tree
    for name, content in tree.items():
        if isinstance(content, bytes):
            assert content == TREE[name]  # type: ignore[index]
    assert b"y" not in tree


def test_cars_of_another_data_set_are_extracted_beside_it(make: Any, tmp_path: Path) -> None:
    one, two = make("one"), make("two")
    one.run(TREE)
    two.run({b"LICENSE": b"the same in both", b"other": BIG[:2000], b"empty": b""})
    root = root_of(one)
    report = extract([root, *car_files(one), *car_files(two)], tmp_path / "to")
    assert report.problems == []
    expected: Any = TREE
    assert read_tree(tmp_path / "to") == expected | {b"LICENSE": b"the same in both", b"other": BIG[:2000]}


def test_versions_that_a_later_scan_replaced_stay_in_their_cars(built: Scene, tmp_path: Path) -> None:
    (built.target / "a").write_bytes(b"second version")
    os.unlink(built.target / "d/two leaves")
    built.scan()
    built.plan()
    built.blitz()
    report = extract([*car_files(built), root_of(built)], tmp_path / "to")
    assert report.problems == []
    assert read_tree(tmp_path / "to") == read_tree(built.target)


def test_a_whole_staging_folder_is_extracted_on_the_command_line(built: Scene, tmp_path: Path) -> None:
    root_of(built)
    ptolemy("extract", *sorted(built.staging.glob("*.car")), "--to", tmp_path / "to")
    assert read_tree(tmp_path / "to") == TREE
