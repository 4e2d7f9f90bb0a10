"""A serial project builds one CAR at a time within its staging budget, waits, and goes on when CARs have left."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from ptolemy_core.catalog import containers, waiting
from ptolemy_core.errors import BusyError, ReceiptError, StagingBudgetError, StagingError
from ptolemy_core.stages import reservation
from ptolemy_core.stages.blitz import pending
from ptolemy_core.staging import output
from ptolemy_core.status import free_space
from ptolemy_core.status.state import project_state

from .conftest import PROFILE, Scene

UNIT = PROFILE.size_unit
FILES = {b"f%d" % k: bytes([k]) * UNIT for k in range(12)}

both = pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def serial(make: Any) -> Scene:
    """Three CARs of four files, and room for one: 8 units hold the largest CAR of 4 units of data."""
    stage: Scene = make(load_type="serial", staging_budget=8)
    stage.put(FILES)
    stage.scan()
    assert len(stage.plan().containers) == 3
    return stage


def go(stage: Scene) -> list[int]:
    """What a serial blitz does: build in order until there is no room; returns what it left."""
    todo = [row.number for row in pending(stage.catalog, stage.name)]
    for place, number in enumerate(todo):
        try:
            stage.build(number)
        except StagingBudgetError as error:
            waiting.record(stage.catalog, stage.name, error.number, error.bytes)
            return todo[place:]
    return []


def now(stage: Scene) -> waiting.Waiting | None:
    return free_space.still_waiting(stage.catalog, stage.name, PROFILE)


@both
def test_builds_what_fits_and_goes_on_as_cars_leave(serial: Scene, tmp_path: Path) -> None:
    sizes = [row.car_size for row in containers.rows(serial.catalog, serial.name)]
    away = tmp_path / "away"
    away.mkdir()
    assert go(serial) == [1, 2]
    assert len(serial.in_staging()) == 1
    found = now(serial)
    assert found is not None
    assert (found.number, found.bytes) == (1, sizes[0] + sizes[1] - 8 * UNIT)
    assert go(serial) == [1, 2]  # nothing has left: nothing is built
    for left in ([2], []):
        (name,) = serial.in_staging()
        shutil.move(serial.staging / name, away)
        freed = now(serial)
        assert freed is not None
        assert freed.bytes == 0
        assert go(serial) == left
    assert now(serial) is None
    assert waiting.rows(serial.catalog) == []
    for name in os.listdir(away):
        shutil.move(away / name, serial.staging)
    assert serial.problems() == []
    assert len(serial.in_staging()) == 3


def test_room_is_exact_to_the_byte(serial: Scene) -> None:
    stage = serial
    second = containers.rows(stage.catalog, stage.name)[1].car_size
    stage.build(0)
    (name,) = stage.in_staging()
    os.truncate(stage.staging / name, 8 * UNIT - second + 1)  # whatever stands in a CAR's place takes room
    with pytest.raises(
        StagingBudgetError, match=r"CAR 000001 of project 'p' \(.*\) waits for 1 bytes \(1 B\) in /"
    ) as e:
        stage.build(1)
    assert (e.value.number, e.value.bytes) == (1, 1)
    os.truncate(stage.staging / name, 8 * UNIT - second)
    assert stage.build(1)[1]


def test_other_files_in_staging_take_nothing_of_the_budget(serial: Scene) -> None:
    (serial.staging / "other.car").write_bytes(bytes(50 * UNIT))
    (serial.staging / ".q-000001.car.part").write_bytes(bytes(50 * UNIT))
    assert go(serial) == [1, 2]
    assert len(serial.in_staging()) == 3


def test_default_budget_has_room_for_two_largest_cars(make: Any) -> None:
    stage = make(load_type="serial")
    assert stage.project.budget_bytes(PROFILE) == 16 * UNIT
    assert stage.project.budget_bytes() == 16 << 30
    assert make("q").project.budget_bytes() is None


def test_budget_that_no_longer_holds_a_car_is_refused(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = make(load_type="serial")
    stage.put({b"f": bytes(4 * UNIT)})
    stage.scan()
    stage.plan()
    monkeypatch.setattr(type(stage.project), "budget_bytes", lambda *_: 4 * UNIT)
    with pytest.raises(StagingError, match="takes [0-9]+ bytes, its staging_budget is 4096: define"):
        stage.build(0)


def test_parts_of_killed_builds_are_removed_and_running_ones_kept(serial: Scene) -> None:
    for number in (1, 2):
        (serial.staging / f".p-00000{number}.car.part").write_bytes(bytes(9 * UNIT))
    with serial.catalog.lock(reservation.build_lock("p", 2)):
        serial.build(0)
        assert [name for name in serial.in_staging() if name.endswith(".part")] == [".p-000002.car.part"]
    reservation.drop_parts(serial.catalog, serial.project)
    assert [name for name in serial.in_staging() if name.endswith(".part")] == []


def test_one_car_of_a_serial_project_at_a_time(serial: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservation, "WAIT", 0.0)
    tried: list[str] = []

    def meanwhile(_: int) -> None:
        if not tried:
            with pytest.raises(BusyError) as caught:
                serial.build(1)
            tried.append(str(caught.value))

    serial.build(0, progress=meanwhile)
    assert "serial p" in tried[0]


def test_full_disk_makes_it_wait_only_where_its_own_cars_leaving_helps(
    serial: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = containers.rows(serial.catalog, serial.name)[1].car_size
    free = output.RESERVE + size - 100
    serial.build(0)
    (name,) = serial.in_staging()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, free))
    os.truncate(serial.staging / name, 101)
    with pytest.raises(StagingBudgetError, match="waits for 100 bytes"):
        serial.build(1)
    os.truncate(serial.staging / name, 99)
    with pytest.raises(StagingError, match=f"has {free} bytes free, a CAR of {size} bytes needs") as caught:
        serial.build(1)
    assert not isinstance(caught.value, StagingBudgetError)


def test_seal_accepts_what_was_left_and_nothing_else(serial: Scene) -> None:
    from ptolemy_core.stages.blitz import seal

    left = go(serial)
    assert [row.number for row in seal(serial.catalog, serial.name, PROFILE, left=left)] == [0]
    with pytest.raises(ReceiptError, match="1 CAR of project 'p' is not built, the first is number 1"):
        seal(serial.catalog, serial.name, PROFILE, left=[2])
    with pytest.raises(ReceiptError, match="2 CARs of project 'p' are not built"):
        seal(serial.catalog, serial.name, PROFILE)


def test_waiting_follows_a_plan_that_changes(serial: Scene) -> None:
    go(serial)
    waiting.record(serial.catalog, "p", 99, 7)  # a container that a new plan has not
    found = now(serial)
    assert found is not None
    assert found.number == 1
    (name,) = serial.in_staging()
    (serial.staging / name).unlink()
    while go(serial):
        for name in serial.in_staging():
            (serial.staging / name).unlink()
    waiting.record(serial.catalog, "p", 99, 7)
    assert now(serial) is None


def test_standing_tells_of_waiting(serial: Scene) -> None:
    go(serial)
    found = project_state(serial.catalog, "p").waiting
    assert found is not None
    assert found.project == "p"
    serial.staging.rename(serial.staging.with_name("unmounted"))
    last = project_state(serial.catalog, "p").waiting  # a folder that can't be looked at: what the blitz met
    assert last is not None
    assert last.bytes > 0


def test_missing_names_cars_that_left_without_a_mark(serial: Scene) -> None:
    from ptolemy_core.catalog import delivery

    go(serial)
    assert free_space.missing(serial.catalog, serial.project) == []
    (name,) = serial.in_staging()
    os.truncate(serial.staging / name, 10)
    assert [row.file_name for row in free_space.missing(serial.catalog, serial.project)] == [name]
    (serial.staging / name).unlink()
    (row,) = free_space.missing(serial.catalog, serial.project)
    delivery.mark(serial.catalog, row, None)
    assert free_space.missing(serial.catalog, serial.project) == []
    assert [row.number for row in pending(serial.catalog, "p")] == [1, 2]  # it isn't built again either way
