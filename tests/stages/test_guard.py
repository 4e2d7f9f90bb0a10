"""A target that isn't there, or is another one, isn't a deletion of what it held."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import containers, projects, scans
from ptolemy_core.catalog.schema import scan as scan_table
from ptolemy_core.errors import LossError, SourceError, StageOrderError
from ptolemy_core.restore.project import ProjectRestore
from ptolemy_core.stages.watch import RETRY, State, look
from tests.dag import oracle
from tests.source.mounts import needs_mounts, tmpfs, unmount, with_own_mounts

from .conftest import PROFILE, Scene

TEN: oracle.Content = {b"d": {b"%d" % k: b"x" for k in range(9)}, b"void": {}}


def rows(stage: Scene) -> Any:
    return stage.files(live=False), containers.rows(stage.catalog, stage.name)


def empty(stage: Scene) -> None:
    for entry in stage.target.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def test_an_empty_target_fails_the_scan_and_nothing_is_recorded_or_dropped(stage: Scene) -> None:
    stage.put(TEN)
    stage.scan()
    stage.plan()
    before = rows(stage)
    empty(stage)
    with pytest.raises(LossError, match=r"has no entries, and the last scan found 10.*--accept-loss"):
        stage.scan()
    stage.plan()
    assert rows(stage) == before
    stage.put(TEN)
    for path in stage.target.rglob("*"):
        assert path.exists()


def test_a_loss_that_is_accepted_is_recorded(stage: Scene) -> None:
    stage.put(TEN)
    stage.scan()
    stage.plan()
    empty(stage)
    assert stage.scan(accept_loss=True).gone == 10
    assert stage.plan().dropped > 0
    assert stage.scan().gone == 0  # it is known now


@pytest.mark.parametrize(("lost", "refused"), [(5, False), (6, True)])
def test_more_than_half_of_the_entries_may_not_be_gone(stage: Scene, lost: int, refused: bool) -> None:
    stage.put(TEN)
    stage.scan()
    for k in range(lost):
        (stage.target / "d" / str(k)).unlink()
    if not refused:
        assert stage.scan().gone == lost
        return
    with pytest.raises(LossError, match=r"6 of 10 entries of target_dir .* are gone.*60%.*max_loss is 50%"):
        stage.scan()


@pytest.mark.parametrize(("max_loss", "lost", "refused"), [(0, 1, True), (100, 9, False), (20, 3, True)])
def test_how_many_is_a_setting(stage: Scene, max_loss: int, lost: int, refused: bool) -> None:
    projects.change(stage.catalog, stage.name, {"max_loss": max_loss})
    stage.put(TEN)
    stage.scan()
    for k in range(lost):
        (stage.target / "d" / str(k)).unlink()
    if refused:
        with pytest.raises(LossError):
            stage.scan()
    else:
        assert stage.scan().gone == lost


def test_what_the_rules_leave_out_is_no_loss(stage: Scene) -> None:
    stage.put(TEN)
    stage.scan()
    projects.change(stage.catalog, stage.name, {"exclude": ["/d/"]})
    assert stage.scan().gone == 9
    projects.change(stage.catalog, stage.name, {"exclude": ["*"]})
    assert stage.scan().gone == 1


def test_an_empty_folder_that_gets_entries_is_no_loss(stage: Scene) -> None:
    stage.put({b"void": {}})
    stage.scan()
    stage.put({b"void": {b"f": b"1"}})
    assert stage.scan().gone == 1


def test_a_target_that_was_always_empty_may_be_empty(stage: Scene) -> None:
    for _ in range(2):
        assert stage.scan().is_empty


def test_a_target_that_is_replaced_during_the_scan_fails_it(stage: Scene) -> None:
    stage.put(TEN)
    stage.scan()
    before = rows(stage)

    def replace(found: int, data: int) -> None:
        stage.target.rename(stage.target.with_name("away"))
        stage.target.mkdir()

    with pytest.raises(SourceError, match="was replaced, mounted or unmounted while it was scanned"):
        stage.scan(progress=replace)
    assert rows(stage) == before


@needs_mounts
def test_another_file_system_fails_the_scan_even_with_the_same_files(stage: Scene) -> None:
    def work() -> None:
        tmpfs(stage.target)
        stage.put(TEN)
        stage.scan()
        before = rows(stage)
        tmpfs(stage.target)  # over it
        stage.put(TEN)
        with pytest.raises(LossError, match=r"is on another file system \(tmpfs UUID .*--accept-loss"):
            stage.scan()
        assert rows(stage) == before
        unmount(stage.target)
        assert stage.scan().gone == 0
        unmount(stage.target)
        with pytest.raises(LossError, match="is on another file system"):
            stage.scan()
        stage.put(TEN)
        stage.scan(accept_loss=True)
        stage.scan()  # the new one is known now

    with_own_mounts(work)


@needs_mounts
def test_a_disk_mounted_below_the_target_may_not_vanish_with_its_entries(stage: Scene) -> None:
    def work() -> None:
        place = stage.target / "disk é\xff"
        place.mkdir()
        tmpfs(place)
        (place / "f").write_bytes(b"x")
        stage.put(TEN)
        stage.scan()
        before = rows(stage)
        unmount(place)
        said = r"has nothing mounted on it, at the last scan it was tmpfs.*, and 1 entry below it is gone"
        with pytest.raises(LossError, match=said):
            stage.scan()
        assert rows(stage) == before
        stage.scan(accept_loss=True)
        tmpfs(place)
        stage.scan()
        unmount(place)
        stage.scan()  # there was nothing on it

    with_own_mounts(work)


@needs_mounts
def test_a_build_that_skips_drops_no_file_of_a_disk_that_is_not_mounted(make: Any) -> None:
    stage = make(on_error="skip")

    def work() -> None:
        tmpfs(stage.target)
        stage.put(TEN)
        stage.scan()
        stage.plan()
        tmpfs(stage.target)
        stage.put({b"other": b"1"})
        with pytest.raises(SourceError, match="is another one than at the last scan.*so no file is skipped"):
            stage.blitz()
        unmount(stage.target)
        assert len(stage.blitz()) > 0

    with_own_mounts(work)


def test_a_refused_scan_is_told_and_leaves_the_project_as_it_was(stage: Scene) -> None:
    stage.run(TEN)
    (number,) = {row.first_scan for row in stage.files()}
    empty(stage)
    with pytest.raises(LossError):
        stage.scan()
    last = scans.last(stage.catalog, stage.name)
    assert last is not None
    assert not last.finished
    assert "has no entries" in str(last.refused)
    merged = scans.last(stage.catalog, stage.name, merged=True)
    assert merged is not None
    assert (merged.number, merged.finished) == (number, True)
    with stage.catalog.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(scan_table)) == 2


def test_a_watch_asks_once_for_what_is_refused_and_again_when_it_changed(
    stage: Scene, tmp_path: Path
) -> None:
    stage.put(TEN)
    project = projects.change(stage.catalog, stage.name, {"watch": True, "quiet_seconds": 60})
    stage.scan()
    away = stage.target.with_name("away")
    stage.target.rename(away)
    stage.target.mkdir()
    state = State()
    asked = []
    for now in range(0, int(3 * RETRY), 30):
        found = look(stage.catalog, project, state, float(now))
        state = found.state
        if found.due:
            asked.append(now)
            state = found.asking(now)
            with pytest.raises(LossError):
                stage.scan()
    assert asked == [60]
    assert "was refused: target_dir" in found.said
    assert "--accept-loss" in found.said
    stage.target.rmdir()
    away.rename(stage.target)
    (stage.target / "new").write_bytes(b"")
    for now in range(int(3 * RETRY), int(3 * RETRY) + 120, 30):
        found = look(stage.catalog, project, state, float(now))
        state = found.state
    assert found.due
    assert stage.scan().added == 1
    found = look(stage.catalog, project, state, float(now))
    assert found.said.startswith("nothing changed")


def test_a_change_after_a_scan_that_was_refused_for_permissions_is_seen(stage: Scene) -> None:
    stage.put(TEN)
    project = projects.change(stage.catalog, stage.name, {"watch": True, "quiet_seconds": 0})
    stage.scan()
    number = scans.begin(stage.catalog, stage.name, 0.0)
    scans.refuse(stage.catalog, number, "1 entry can't be read")
    state = State()
    for now in (0.0, 30.0):
        found = look(stage.catalog, project, state, now)
        state = found.state
        assert (found.due, found.said) == (False, f"scan {number} was refused: 1 entry can't be read")
    (stage.target / "new").write_bytes(b"")
    assert look(stage.catalog, project, state, 60.0).due


def test_a_project_that_was_never_scanned_cannot_be_restored(stage: Scene) -> None:
    stage.put(TEN)
    with pytest.raises(
        StageOrderError, match=r"isn't scanned yet, so there is nothing to restore: run `ptolemy"
    ):
        ProjectRestore(stage.catalog, stage.name, profile=PROFILE)
    stage.scan()
    assert ProjectRestore(stage.catalog, stage.name, profile=PROFILE).needs.entries == 10
    assert os.path.isdir(stage.target)
