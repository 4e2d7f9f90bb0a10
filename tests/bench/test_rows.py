"""The benchmark of rows alone, at toy size: what it puts in is what the stages find."""

from pathlib import Path

import pytest

from bench import rows

COUNT = 600


def test_a_made_up_catalog_is_rescanned_planned_and_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTOLEMY_HOME", "")  # the jobs set it: it is put back
    monkeypatch.setattr(rows, "_ASKED", 5)
    folder = str(tmp_path)
    rows.fill(folder, COUNT)
    found = rows.rescan(folder, COUNT)
    assert (found["found"], found["news"]) == (COUNT, 0)
    assert rows.rescan(folder, COUNT + 1)["news"] == 1
    planned = rows.plan(folder)
    assert planned["containers"] >= 1
    assert planned["items"] >= COUNT
    asked = rows.look_up(folder, COUNT)
    assert asked["wrong"] == 0
    assert "status of the project" in asked["ms"]


def test_paths_are_made_in_path_order() -> None:
    names = [entry.path for entry in rows.entries(60_000)]
    assert names == sorted(names)
