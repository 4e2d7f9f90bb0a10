"""A staging area knows its files by their names, sizes and states; links, folders and pipes are no CARs."""

import os
from pathlib import Path

import pytest

from ptolemy_core import commp
from ptolemy_core.errors import StagingError
from ptolemy_core.staging.area import StagingArea, part_name, root_part_name


@pytest.fixture
def area(tmp_path: Path) -> StagingArea:
    (tmp_path / "s").mkdir()
    return StagingArea(str(tmp_path / "s"))


def put(area: StagingArea, name: str, content: bytes = b"car") -> Path:
    path = Path(area.path(name))
    path.write_bytes(content)
    return path


def test_a_whole_file_is_one_of_the_right_kind_and_size(area: StagingArea) -> None:
    path = put(area, "a.car")
    assert area.has("a.car", 3)
    assert not area.has("a.car", 4)
    assert not area.has("b.car", 3)
    path.rename(area.path("away"))
    path.symlink_to("away")
    assert not area.has("a.car", 3)
    path.unlink()
    os.mkfifo(path)
    assert not area.has("a.car", 0)
    assert area.piece_cid("a.car") is None  # and nobody waits for a writer


def test_a_file_that_changes_is_another_state(area: StagingArea) -> None:
    path = put(area, "a.car")
    before, times = area.look("a.car"), path.stat()
    assert area.look("a.car") == before
    path.write_bytes(b"CAR")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert area.look("a.car") != before


def test_a_piece_cid_is_of_the_whole_file(area: StagingArea) -> None:
    content = os.urandom(3000)
    put(area, "a.car", content)
    seen: list[int] = []
    found = area.piece_cid("a.car", seen.append)
    assert found == (commp.piece_cid_v2(commp.PieceCommitment(content).digest(), 3000), area.look("a.car"))
    assert sum(seen) == 3000


def test_a_file_that_changes_while_it_is_read_has_no_piece_cid(area: StagingArea) -> None:
    path = put(area, "a.car")
    assert area.piece_cid("a.car", lambda _: path.write_bytes(b"CAR") and None) is None
    assert area.piece_cid("a.car", lambda _: os.replace(put(area, "b"), path)) is None


def test_parts_are_those_of_the_project_alone(area: StagingArea) -> None:
    mine = [part_name("p", 7), ".p-000007.car.host.12.ab.part", ".p-1234567.car.part"]
    for name in (
        *mine,
        root_part_name("p"),
        part_name("p-1", 2),
        part_name("q", 7),
        "p-000007.car",
        "x.part",
    ):
        put(area, name)
    assert sorted(area.parts("p")) == sorted([(7, mine[0]), (7, mine[1]), (1234567, mine[2])])


def test_a_folder_that_is_away_is_named(tmp_path: Path) -> None:
    away = StagingArea(str(tmp_path / "away"))
    assert away.look("a.car") is None
    with pytest.raises(
        StagingError, match="can't be read .No such file .*: check that it exists and is mounted"
    ):
        away.sizes()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StagingError, match="can't be accessed .Not a directory"):
        StagingArea(str(tmp_path / "file")).look("a.car")


def test_two_paths_of_one_folder_are_one_area(area: StagingArea, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("s")
    assert area.is_same_as(StagingArea(str(tmp_path / "link")))
    assert not area.is_same_as(StagingArea(str(tmp_path)))
    assert area.is_same_as(StagingArea(area.folder + "/"))
