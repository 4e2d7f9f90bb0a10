"""Looks at a watched folder: what they see, what it costs, when a scan is due; the clock is the test's."""

import os
from typing import Any

import pytest

from ptolemy_core.catalog import projects
from ptolemy_core.errors import SourceError
from ptolemy_core.stages import watch
from ptolemy_core.stages.scan import scan
from ptolemy_core.stages.watch import RETRY, Look, State, look
from ptolemy_core.tree import paths
from tests.dag import oracle

from .conftest import Scene

TREE: oracle.Content = {b"a": {b"x": {b"f": b"1"}}, b"b\n\xff": {b"g": b"2"}, b"h": b"3", b"void": {}}


class Watcher:
    """Looks in a row, each with the state of the one before it."""

    def __init__(self, stage: Scene, budget: int = watch.BUDGET, **settings: Any) -> None:
        self.stage = stage
        self.budget = budget
        self.state = State()
        self.change(watch=True, quiet_seconds=60, **settings)

    def change(self, **settings: Any) -> None:
        self.project = projects.change(self.stage.catalog, self.stage.name, settings)

    def scan(self) -> None:
        scan(self.stage.catalog, self.stage.name)

    def at(self, now: float) -> Look:
        found = look(self.stage.catalog, self.project, self.state, now, self.budget)
        self.state = found.asking(now) if found.due else found.state
        return found


@pytest.fixture
def watcher(stage: Scene) -> Watcher:
    stage.put(TREE)
    made = Watcher(stage)
    made.scan()
    assert made.at(0).said == "nothing changed in 5 folders"
    return made


def add(watcher: Watcher) -> None:
    (watcher.stage.target / "a" / "x" / "new").write_bytes(b"")


def remove(watcher: Watcher) -> None:
    (watcher.stage.target / "a" / "x" / "f").unlink()


def rename(watcher: Watcher) -> None:
    (watcher.stage.target / "h").rename(watcher.stage.target / "i")


def new_folder(watcher: Watcher) -> None:
    (watcher.stage.target / "void" / "deep").mkdir()


def odd_name(watcher: Watcher) -> None:
    with open(bytes(watcher.stage.target) + b"/b\n\xff/'\xfe\n", "wb"):
        pass


def lost_folder(watcher: Watcher) -> None:
    (watcher.stage.target / "void").rmdir()


def folder_to_file(watcher: Watcher) -> None:
    lost_folder(watcher)
    (watcher.stage.target / "void").write_bytes(b"")


@pytest.mark.parametrize(
    "change",
    [add, remove, rename, new_folder, odd_name, lost_folder, folder_to_file],
    ids=lambda f: f.__name__,
)
def test_a_change_is_seen_and_scanned_once_it_rests(watcher: Watcher, change: Any) -> None:
    change(watcher)
    assert "changed" in watcher.at(100).said
    assert not watcher.at(159).due
    assert watcher.at(160).due
    watcher.scan()
    for now in (161, 5000):
        found = watcher.at(now)
        assert not found.due
        assert found.said.startswith("nothing changed")


def test_what_cannot_be_seen_is_a_file_written_in_place(watcher: Watcher) -> None:
    (watcher.stage.target / "h").write_bytes(b"other")
    os.utime(watcher.stage.target / "h", ns=(0, 1))
    assert watcher.at(100).said.startswith("nothing changed")
    assert watcher.stage.scan().changed == 1


def test_a_file_that_still_grows_keeps_the_scan_waiting(watcher: Watcher) -> None:
    """A copy changes its folder once, when it begins."""
    path = watcher.stage.target / "a" / "copy"
    for now in range(100, 400, 30):
        with open(path, "ab") as file:
            file.write(b"more")
        found = watcher.at(now)
        assert not found.due
        assert found.said == "a changed; quiet for 0 of 60 seconds"
    assert watcher.at(429).said == "a changed; quiet for 59 of 60 seconds"
    assert watcher.at(430).due


def test_work_deep_in_a_new_folder_keeps_the_scan_waiting(watcher: Watcher) -> None:
    deep = watcher.stage.target / "new" / "p" / "q"
    deep.mkdir(parents=True)
    for now in range(100, 400, 30):
        (deep / str(now)).write_bytes(b"")
        assert not watcher.at(now).due
    assert watcher.at(430).due


def test_excluded_entries_do_not_keep_the_scan_waiting(stage: Scene) -> None:
    stage.put(TREE)
    watcher = Watcher(stage, exclude=["*.log", "cache/"])
    watcher.scan()
    (stage.target / "new").write_bytes(b"")
    (stage.target / "cache").mkdir()
    for now in (100, 130):
        (stage.target / "x.log").write_bytes(b"x" * now)
        (stage.target / "cache" / str(now)).write_bytes(b"")
        os.utime(stage.target, ns=(0, 5))
        assert not watcher.at(now).due
    assert watcher.at(160).due
    watcher.scan()
    (stage.target / "cache" / "more").write_bytes(b"")  # nor is an excluded folder looked at
    assert watcher.at(200).said.startswith("nothing changed")


def test_quiet_seconds_zero_scans_at_once(stage: Scene) -> None:
    watcher = Watcher(stage)
    watcher.change(quiet_seconds=0)
    watcher.scan()
    (stage.target / "new").write_bytes(b"")
    assert watcher.at(100).due


def test_a_clock_that_was_set_back_starts_the_wait_anew(watcher: Watcher) -> None:
    add(watcher)
    watcher.at(10_000)
    assert not watcher.at(100).due
    assert watcher.at(160).due


def test_a_look_costs_no_more_than_its_budget_and_goes_on_where_it_ended(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put({b"%03d" % k: {b"f": b""} for k in range(95)})
    watcher = Watcher(stage, budget=10)
    watcher.scan()
    looked: list[bytes] = []
    real = watch._token
    monkeypatch.setattr(watch, "_token", lambda root, path: looked.append(path) or real(root, path))
    for now in range(10):
        watcher.at(now)
        assert len(looked) <= 10
        looked.clear()
    assert watcher.state.at is None  # all 96 are looked at, the target in each look
    (stage.target / "094" / "new").write_bytes(b"")
    said = [watcher.at(100 + now).said for now in range(10)]
    assert [text.startswith("nothing changed in 10 folders, more to come") for text in said[:9]] == [True] * 9
    assert said[9].startswith("094 changed")
    (stage.target / "x").write_bytes(b"")
    assert watcher.at(200).said.startswith("094 changed, and 1 more folders")


def test_a_look_at_many_new_entries_is_bounded(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher(stage, budget=50)
    watcher.scan()
    stage.put({b"%03d" % k: {b"%03d" % j: b"" for j in range(30)} for k in range(20)})
    counted = []
    real = watch._entries
    monkeypatch.setattr(watch, "_entries", lambda *a: counted.append(real(*a)) or counted[-1])
    assert not watcher.at(0).due
    assert sum(map(len, counted)) <= 50
    assert watcher.at(60).due


def test_many_changed_folders_are_kept_in_a_bounded_state(stage: Scene) -> None:
    stage.put({b"%03d" % k: {} for k in range(300)})
    watcher = Watcher(stage)
    watcher.scan()
    for k in range(300):
        (stage.target / f"{k:03d}" / "f").write_bytes(b"")
    watcher.at(0)
    assert len(watcher.state.changed) == 100
    assert watcher.at(60).due


def test_watching_begins_with_a_scan(stage: Scene) -> None:
    stage.put(TREE)
    stage.scan()  # not watched yet: the folders weren't kept
    watcher = Watcher(stage)
    found = watcher.at(0)
    assert found.due
    assert found.said == "there is no finished scan with its folders yet"
    watcher.scan()
    assert watcher.at(1).said.startswith("nothing changed")
    watcher.change(watch=False)
    watcher.scan()
    watcher.change(watch=True)
    assert watcher.at(2).due


def test_a_scan_that_came_to_nothing_is_asked_for_again_later(watcher: Watcher) -> None:
    away = watcher.stage.target.rename(watcher.stage.target.with_name("away"))
    assert watcher.at(100).said == "target_dir can't be read (No such file or directory): is it mounted?"
    with pytest.raises(SourceError):
        watcher.scan()
    away.rename(watcher.stage.target)
    assert watcher.at(130).due  # the last scan isn't finished
    assert not watcher.at(160).due
    with pytest.raises(ZeroDivisionError):
        scan(watcher.stage.catalog, watcher.stage.name, progress=lambda found, data: 1 // 0)
    assert watcher.at(200).said.endswith("the scan asked for came to nothing, next try in 830 seconds")
    assert watcher.at(130 + RETRY).due
    watcher.scan()
    assert watcher.at(2000).said.startswith("nothing changed")


def test_a_change_during_the_scan_is_seen_after_it(watcher: Watcher) -> None:
    add(watcher)
    scan(watcher.stage.catalog, watcher.stage.name, progress=lambda found, data: remove(watcher))
    assert "a/x changed" in watcher.at(100).said


def test_folders_deeper_than_the_systems_path_limit_are_looked_at(stage: Scene) -> None:
    here = os.open(stage.target, os.O_RDONLY)
    for _ in range(30):
        os.mkdir("x" * 200, dir_fd=here)
        deeper = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    watcher = Watcher(stage)
    watcher.scan()
    assert watcher.at(0).said == "nothing changed in 31 folders"
    os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert "changed; quiet" in watcher.at(10).said
    assert watcher.at(70).due
    name = b"\0".join([b"x" * 200] * 30)
    assert watcher.state.changed == (name.hex(),)
    assert len(paths.display(name)) == 30 * 201 - 1
