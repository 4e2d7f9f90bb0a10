"""`ptolemy prep`: a folder to CARs and a manifest in one go."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from ptolemy_core.stages.prepare import name_for
from tests.cli.commands import error_of, printed, ptolemy
from tests.cli.test_schemas import is_as_published
from tests.cli.test_start import imported
from tests.pipeline.backend import Backend


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "my data"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"a" * 5000)
    (folder / "sub" / "b.txt").write_bytes(b"b" * 3_000_000)
    return folder


def test_a_folder_becomes_cars_and_a_manifest_without_a_project(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cars"
    made = is_as_published("prep", printed("prep", data, out))
    (car,) = made["cars"]
    assert car["verified_at"]
    assert {car["file_name"], made["root"]["file_name"]} <= set(os.listdir(out))
    assert made["root"]["root_cid"] == printed("cid", data)[0]["cid"]
    rows = list(csv.DictReader(Path(made["manifest"]["manifest"]).read_text().splitlines()))
    assert [row["path"] for row in rows] == ["a.txt", "sub/b.txt"]
    assert rows[0]["piece_cid"] == car["piece_cid"]
    assert json.loads(Path(made["manifest"]["summary"]).read_text())["totals"]["cars"] == 1


def test_the_cars_are_those_of_a_project_with_the_same_settings(delta: Backend, tmp_path: Path) -> None:
    ptolemy("run", "delta")
    printed("prep", delta.root / "data", tmp_path / "cars")
    assert delta.staged() <= set(os.listdir(tmp_path / "cars"))


def test_prep_needs_no_home_and_no_dagster(sqlite: Backend, data: Path) -> None:
    before = set(os.listdir(sqlite.root))
    assert "dagster" not in imported(sqlite, "prep", str(data), str(sqlite.root / "cars"))
    assert set(os.listdir(sqlite.root)) - before == {"cars"}


def test_a_second_run_builds_what_is_new_alone(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cars"
    assert printed("prep", data, out)["built"] == 1
    again = ptolemy("prep", data, out)
    assert "nothing was new: the only CAR was built before" in again.stderr.replace("\n", " ")
    (data / "c").write_bytes(b"c")
    assert printed("prep", data, out)["built"] == 1
    assert len(printed("prep", data, out)["cars"]) == 2


def test_other_settings_or_another_folder_are_refused(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cars"
    printed("prep", data, out, "--car-size", "2")
    assert "made with car_size 2, not 31" in error_of("prep", data, out, code=2)
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").write_bytes(b"x")
    assert "has CARs of 'my-data'" in error_of("prep", other, out, code=2)
    printed("prep", data, out, "--car-size", "2", "--exclude", "*.txt~")


def test_cars_may_move_and_go_on_in_another_place(data: Path, tmp_path: Path) -> None:
    printed("prep", data, tmp_path / "cars")
    os.rename(tmp_path / "cars", tmp_path / "moved")
    assert printed("prep", data, tmp_path / "moved")["built"] == 0


def test_a_car_that_is_lost_is_told_without_a_project_and_made_again(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "cars"
    (car,) = printed("prep", data, out)["cars"]
    (out / car["file_name"]).unlink()
    said = error_of("prep", data, out)
    assert "remove .ptolemy in that folder" in said
    assert "release" not in said
    shutil.rmtree(out / ".ptolemy")
    assert printed("prep", data, out)["cars"][0]["file_name"] == car["file_name"]
    assert (out / car["file_name"]).is_file()


def test_wrong_input_is_an_error_in_a_sentence(data: Path, tmp_path: Path) -> None:
    assert "isn't a folder" in error_of("prep", tmp_path / "nowhere", tmp_path / "cars", code=2)
    assert "is inside target_dir" in error_of("prep", data, data / "cars", code=2)
    (tmp_path / "empty").mkdir()
    assert "nothing to store" in error_of("prep", tmp_path / "empty", tmp_path / "cars1")
    assert "format must be" in error_of("prep", data, tmp_path / "cars2", "--format", "xml", code=2)


def test_steps_are_numbered_and_all_end(data: Path, tmp_path: Path) -> None:
    lines = ptolemy("prep", data, tmp_path / "cars").stderr.splitlines()
    assert [line[:5] for line in lines if " done" in line] == [f"[{k}/6]" for k in range(1, 7)]
    fewer = ptolemy("prep", data, tmp_path / "cars2", "--no-verify").stderr
    assert "[5/5] manifest done" in fewer
    assert "verifying" not in fewer


@pytest.mark.parametrize(
    ("folder", "name"), [("/a/my data", "my-data"), ("/", "folder"), ("/é/", "folder"), ("/x/_a.b_", "a-b")]
)
def test_the_name_is_made_of_the_folders(folder: str, name: str) -> None:
    assert name_for(folder) == name
