"""A file that has other bytes behind the same size and time: whatever notices it has the CAR's files planned anew."""

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import coverage, dead_cars, stored_cars
from ptolemy_core.catalog.schema import file
from ptolemy_core.errors import DeadCarError, SourceChangedError
from ptolemy_core.stages.release import release
from ptolemy_core.status import free_space
from tests.encrypted.conftest import ALIAS
from tests.encrypted.test_outlines import same_stamp
from tests.encrypted.test_stages import data, restored
from tests.stages.conftest import Scene

CONTENT = {b"f": data(900), b"g": data(20), b"h": data(700), b"large": data(6000)}
NEW = CONTENT | {b"g": data(20, seed=1)}

either = pytest.mark.parametrize("encryption", ["None", ALIAS])


def car_of(stage: Scene, name: bytes) -> int:
    """The number of the CAR that holds a file."""
    for row in stage.cars():
        from ptolemy_core.catalog import shards

        if any(one.path == name for one in shards.built(stage.catalog, row.container_id)):
            return row.number
    raise AssertionError(name)


def headers(stage: Scene) -> dict[bytes, bytes | None]:
    return {row.path: row.header for row in stage.files()}


def dead(stage: Scene) -> list[int]:
    return [row.number for row in dead_cars.rows(stage.catalog, stage.name)]


def changed_unseen(stage: Scene) -> int:
    """Build all, then change a file and nothing that a scan sees; returns the number of its CAR."""
    stage.run(CONTENT)
    same_stamp(stage.target / "g", NEW[b"g"])
    assert (stage.scan().changed, stage.plan().new) == (0, 0)
    return car_of(stage, b"g")


def goes_on(stage: Scene, number: int, before: dict[bytes, bytes | None], to: Path) -> None:
    """The CAR is dead, all that it held gets into new ones, and only the changed file has another salt."""
    assert dead(stage) == [number]
    assert stage.plan().new > 0
    stage.blitz()
    assert coverage.uncovered(stage.catalog, stage.name) == []
    assert stage.problems() == []
    after = headers(stage)
    assert {name for name in after if after[name] != before[name]} <= {b"g"}
    assert (after[b"g"] == before[b"g"]) == (not stage.project.is_encrypted)
    assert stage.scan().changed == 0
    assert dead(stage) == [number], "a scan finds the file as it was, and its CAR is dead for good"
    assert stage.plan().new == 0
    assert restored(stage, to) == NEW
    assert free_space.missing(stage.catalog, stage.project) == []


@pytest.mark.parametrize("catalog_url", ["sqlite", "postgres"], indirect=True)
@either
@pytest.mark.parametrize("source", [False, True])
def test_a_verification_of_a_generated_car_has_its_files_planned_anew(
    make: Any, tmp_path: Path, encryption: str, source: bool
) -> None:
    stage = make(car_storage="generated", encryption=encryption)
    number = changed_unseen(stage)
    before = headers(stage)
    (wrong,) = [one for one in stage.verify(source=source) if not one.ok]
    assert f"{stage.target / 'g'} changed since the scan, other bytes" in wrong.problems[0]
    assert wrong.problems[0].endswith("the same: containerize and blitz make new CARs of what is there")
    goes_on(stage, number, before, tmp_path / "out")


@either
def test_a_lost_outline_that_the_source_does_not_give_any_more_has_its_files_planned_anew(
    make: Any, tmp_path: Path, encryption: str
) -> None:
    stage = make(car_storage="generated", encryption=encryption)
    number = changed_unseen(stage)
    before = headers(stage)
    os.unlink(stored_cars.by_number(stage.catalog, stage.name, number).outline_path)
    with pytest.raises(
        SourceChangedError, match="can't be rebuilt: .*/g changed since the scan, other bytes"
    ):
        stage.build(number, rebuild=True)
    goes_on(stage, number, before, tmp_path / "out")
    with pytest.raises(DeadCarError, match="can't be generated any more"):
        stage.build(number, rebuild=True)


@either
def test_a_lost_staged_car_that_the_source_does_not_give_any_more_has_its_files_planned_anew(
    make: Any, tmp_path: Path, encryption: str
) -> None:
    stage = make(encryption=encryption)
    number = changed_unseen(stage)
    before = headers(stage)
    name = stage.cars()[number].file_name
    os.unlink(stage.staging / name)
    there = stage.in_staging()
    with pytest.raises(SourceChangedError, match="g changed since the scan, other bytes"):
        stage.build(number, rebuild=True)
    assert stage.in_staging() == there, "no other CAR got a name"
    goes_on(stage, number, before, tmp_path / "out")
    with pytest.raises(DeadCarError, match="can't be built again: its file is lost, and .*/g changed"):
        stage.build(number, rebuild=True)


def test_a_lost_staged_car_of_which_a_scan_found_a_file_changed_is_dead_once_it_cant_be_rebuilt(
    make: Any, tmp_path: Path
) -> None:
    stage = make(encryption="None")
    stage.run(CONTENT)
    number = car_of(stage, b"g")
    os.unlink(stage.staging / stage.cars()[number].file_name)
    (stage.target / "g").write_bytes(NEW[b"g"])
    with pytest.raises(SourceChangedError, match="scan again"):
        stage.build(number, rebuild=True)
    assert dead(stage) == [], "the source may only not be mounted, so a scan must say it"
    stage.scan()
    with pytest.raises(SourceChangedError):
        stage.build(number, rebuild=True)
    assert dead(stage) == [number]
    stage.plan()
    stage.blitz()
    assert coverage.uncovered(stage.catalog, stage.name) == []
    assert stage.problems() == []
    assert restored(stage, tmp_path / "out") == NEW


def test_a_staged_car_that_is_back_is_not_dead_any_more(make: Any) -> None:
    stage = make(encryption="None")
    number = changed_unseen(stage)
    path = stage.staging / stage.cars()[number].file_name
    path.rename(stage.target.parent / "away")
    with pytest.raises(SourceChangedError):
        stage.build(number, rebuild=True)
    assert dead(stage) == [number]
    (stage.target.parent / "away").rename(path)
    stage.scan()
    assert dead(stage) == []
    assert stage.plan().new == 1, "the changed file has a new version"


def test_a_delivered_car_that_cant_be_rebuilt_keeps_its_files(make: Any) -> None:
    stage = make(encryption="None")
    number = changed_unseen(stage)
    row = stage.cars()[number]
    assert stage.problems() == []
    release(stage.catalog, [row])
    os.unlink(stage.staging / row.file_name)
    with pytest.raises(SourceChangedError):
        stage.build(number, rebuild=True)
    assert dead(stage) == []


def test_a_version_that_had_other_bytes_never_comes_back(make: Any) -> None:
    stage = make(car_storage="generated")
    changed_unseen(stage)
    stage.verify()
    old = {row.header for row in stage.files(live=False) if row.path == b"g"} - {headers(stage)[b"g"]}
    aside = stage.target.parent / "aside"
    (stage.target / "g").rename(aside)
    stage.scan()
    aside.rename(stage.target / "g")
    stage.scan()
    assert headers(stage)[b"g"] not in old
    query = sa.select(file.c.header).where(file.c.other_content)
    assert {row.header for row in stage.catalog.fetch(query)} == old


def test_where_two_files_changed_unseen_no_salt_meets_other_bytes(make: Any, tmp_path: Path) -> None:
    stage = make(car_storage="generated")
    stage.run(CONTENT)
    before = headers(stage)
    new = NEW | {b"f": data(900, seed=2)}
    for name in (b"f", b"g"):
        same_stamp(stage.target / os.fsdecode(name), new[name])
    for _ in range(3):  # each finds one of them at least
        stage.verify()
        stage.plan()
        try:
            stage.blitz()
        except SourceChangedError:
            continue
        break
    stage.plan()
    stage.blitz()
    assert stage.problems() == []
    assert restored(stage, tmp_path / "out") == new
    after = headers(stage)
    assert {name for name in after if after[name] != before[name]} == {b"f", b"g"}
