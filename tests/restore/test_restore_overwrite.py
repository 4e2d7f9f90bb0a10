"""What --overwrite replaces, and what it never does."""

import os
from pathlib import Path

import pytest

from tests.cli.commands import error_of, printed, ptolemy
from tests.reader.encoder import car, directory, leaf, symlink, write
from tests.stages.conftest import Scene

from .test_restore_cli import TREE
from .test_restore_same import restore
from .trees import extract, read_tree

DAG = directory(
    {b"d": directory({b"below": directory({b"f": leaf(b"deep")})}), b"f": leaf(b"file"), b"l": symlink(b"f")}
)
EXPECTED = {b"d": {b"below": {b"f": b"deep"}}, b"f": b"file", b"l": "f"}


def there(to: Path) -> object:
    tree = read_tree(to)
    assert isinstance(tree, dict)
    return {name: os.readlink(to / "l") if name == b"l" else value for name, value in tree.items()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "a.car", car(DAG))


@pytest.fixture
def to(tmp_path: Path) -> Path:
    (tmp_path / "to").mkdir()
    return tmp_path / "to"


def test_files_are_replaced_by_folders_at_any_depth(path: Path, to: Path) -> None:
    (to / "d").write_bytes(b"a file where a folder is to be")
    report = extract([path], to)
    assert report.problems
    assert (to / "d").read_bytes() == b"a file where a folder is to be"
    report = extract([path], to, replace=True)
    assert report.problems == []
    assert there(to) == EXPECTED
    (to / "d/below/f").unlink()
    (to / "d/below").rmdir()
    (to / "d/below").write_bytes(b"again")
    assert extract([path], to, replace=True).problems == []
    assert there(to) == EXPECTED


def test_empty_folders_are_replaced_by_files_and_links(path: Path, to: Path) -> None:
    (to / "f").mkdir()
    (to / "l").mkdir()
    assert {name for name, _ in extract([path], to).problems} == {"f", "l"}
    assert extract([path], to, replace=True).problems == []
    assert there(to) == EXPECTED


def test_folders_with_entries_are_never_deleted(path: Path, to: Path) -> None:
    (to / "f").mkdir()
    (to / "f/mine").write_bytes(b"mine")
    ((name, reason),) = extract([path], to, replace=True).problems
    assert name == "f"
    assert "it is never deleted" in reason
    assert (to / "f/mine").read_bytes() == b"mine"


def test_links_are_never_replaced_by_folders(path: Path, to: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (to / "d").symlink_to(tmp_path / "outside")
    report = extract([path], to, replace=True)
    assert report.problems
    assert all("d is in the way: it is a link" in reason for _, reason in report.problems)
    assert os.listdir(tmp_path / "outside") == []


def test_pipes_in_the_target_are_no_trap(path: Path, to: Path) -> None:
    os.mkfifo(to / "d")
    os.mkfifo(to / "f")
    assert {name for name, _ in extract([path], to, replace=False).problems} >= {"d", "f"}
    report = extract([path], to, replace=True)
    assert (to / "f").read_bytes() == b"file"
    assert {name.split("/")[0] for name, _ in report.problems} == {"d"}


@pytest.fixture
def built(stage: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PTOLEMY_PG_URL", raising=False)
    stage.run(TREE)
    return stage


def test_restore_replaces_files_by_folders_too(built: Scene, to: Path) -> None:
    (to / "d").write_bytes(b"a file")
    assert restore(built, to, replace=True).ok
    assert read_tree(to) == TREE


def test_an_empty_text_is_no_path(
    built: Scene, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    to = ("--to", tmp_path / "to")
    for arguments in (
        ("restore", built.name, "--to", ""),
        ("restore", built.name, "", *to),
        ("restore", built.name, "--cars", "", *to),
        ("extract", path, "--to", ""),
        ("extract", path, "--path", "", *to),
    ):
        assert "is empty: give a value, or leave it out" in error_of(*arguments, code=2)
    assert os.listdir(tmp_path / "cwd") == []
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("typed", ["./d", "d/", ".//d/.", "TARGET/d", "/d"])
def test_paths_are_understood_as_people_type_them(
    built: Scene, path: Path, tmp_path: Path, typed: str
) -> None:
    typed = typed.replace("TARGET", str(built.target))
    ptolemy("restore", built.name, typed, "--to", tmp_path / "to")
    assert read_tree(tmp_path / "to") == {b"d": TREE[b"d"]}  # type: ignore[index]
    assert {row["path"] for row in printed("find", typed)} == {"d/link", "d/void"}
    assert {row["path"] for row in printed("find", typed, "--project", built.name)} == {"d/link", "d/void"}
    if not typed.startswith(str(built.target)):
        ptolemy("extract", path, "--path", typed, "--to", tmp_path / "x")
        assert read_tree(tmp_path / "x") == {b"d": EXPECTED[b"d"]}


def test_prefixes_and_patterns_may_begin_with_target_dir(built: Scene) -> None:
    for top in ("./", f"{built.target}/"):
        assert [row["path"] for row in printed("find", "--prefix", f"{top}d/l")] == ["d/link"]
        assert [row["path"] for row in printed("find", "--glob", f"{top}d/v*")] == ["d/void"]


def test_target_dir_itself_is_all_of_it(built: Scene, tmp_path: Path) -> None:
    ptolemy("restore", built.name, built.target, "--to", tmp_path / "to")
    assert read_tree(tmp_path / "to") == TREE
    assert len(printed("find", built.target)) == len(printed("find", ".")) == 5


def test_a_path_elsewhere_is_not_found(built: Scene, tmp_path: Path) -> None:
    assert "no entry" in error_of("restore", built.name, f"{tmp_path}/elsewhere", "--to", tmp_path / "to")
    assert "no file or CID matches" in error_of("find", f"{tmp_path}/elsewhere")
    assert "no file or CID matches" in error_of("find", f"{built.target}2/d")
