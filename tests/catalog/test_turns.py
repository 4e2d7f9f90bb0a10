"""One of all processes tells of a work, every interval at most."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptolemy_core.catalog import Catalog, progress, projects
from ptolemy_core.catalog.progress import my_turn
from ptolemy_core.project import parse_project


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Catalog, Catalog]]:
    """Two processes' views of a catalog with project delta."""
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path}/catalog.db"
    catalogs = Catalog(url), Catalog(url)
    settings = {"name": "delta", "target_dir": f"{tmp_path}/data", "staging_dir": f"{tmp_path}/cars"}
    projects.create(catalogs[0], parse_project(settings))
    yield catalogs
    for catalog in catalogs:
        catalog.engine.dispose()


def test_the_first_who_asks_tells_and_then_nobody_for_an_interval(
    two: tuple[Catalog, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "time", lambda: now)
    here, there = two
    assert my_turn(here, "delta", "build", 30)
    assert not my_turn(there, "delta", "build", 30)
    assert my_turn(there, "delta", "scan", 30)  # another work
    now = 1029.0
    assert not my_turn(here, "delta", "build", 30)
    now = 1030.0
    assert my_turn(there, "delta", "build", 30)
    assert not my_turn(here, "delta", "build", 30)


def test_a_clock_that_was_set_back_does_not_silence_it(
    two: tuple[Catalog, Catalog], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "time", lambda: now)
    assert my_turn(two[0], "delta", "build", 30)
    now = 500.0
    assert my_turn(two[0], "delta", "build", 30)


def test_of_many_who_ask_at_once_one_tells(two: tuple[Catalog, Catalog]) -> None:
    ready = threading.Barrier(8)
    said: list[bool] = []

    def ask(catalog: Catalog) -> None:
        ready.wait()
        said.append(my_turn(catalog, "delta", "build", 1000))

    threads = [threading.Thread(target=ask, args=(two[k % 2],)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == [False] * 7 + [True]


def test_turns_are_no_tasks(two: tuple[Catalog, Catalog]) -> None:
    assert my_turn(two[0], "delta", "build", 30)
    assert progress.running(two[0], "delta") == []
