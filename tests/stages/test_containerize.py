"""Plans in the catalog: complete, kept, made anew only where nothing is built yet."""

import os
from dataclasses import astuple
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import container_plan, containers
from ptolemy_core.catalog.coverage import uncovered
from ptolemy_core.catalog.schema import container, file, shard
from ptolemy_core.errors import BusyError, StageOrderError, UnknownProjectError
from ptolemy_core.stages import spill
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.status.state import project_state

from .conftest import PROFILE, Scene

UNIT = PROFILE.size_unit


def planned(stage: Scene) -> list[Any]:
    """All shard rows, with the path of their file."""
    query = (
        sa.select(shard, file.c.path)
        .join(file, file.c.id == shard.c.file_id)
        .where(file.c.project == stage.name)
        .order_by(shard.c.container_id, shard.c.position)
    )
    with stage.catalog.read() as connection:
        return list(connection.execute(query).all())


def test_plan_covers_every_entry_once_in_path_order(stage: Scene) -> None:
    stage.put(
        {b"big": bytes(3 * UNIT + 1), b"d": {b"a": b"1", b"void": {}}, b"z": b"", b"exact": bytes(2 * UNIT)}
    )
    stage.scan()
    result = stage.plan()
    assert result.saved
    assert result.new == len(result.containers)
    rows = [(row.path, row.number, row.start, row.length) for row in planned(stage)]
    assert rows == [
        (b"big", 0, 0, UNIT),
        (b"big", 1, UNIT, UNIT),
        (b"big", 2, 2 * UNIT, UNIT),
        (b"big", 3, 3 * UNIT, 1),
        (b"d\0a", -1, 0, 1),
        (b"d\0void", -1, 0, 0),
        (b"exact", 0, 0, UNIT),
        (b"exact", 1, UNIT, UNIT),
        (b"z", -1, 0, 0),
    ]
    assert [row.number for row in result.containers] == list(range(result.new))
    assert uncovered(stage.catalog, stage.name) == []


def test_entries_left_out_of_the_scan_are_left_out_of_the_plan(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    os.mkfifo(stage.target / "pipe")
    stage.scan()
    stage.plan()
    assert [row.path for row in planned(stage)] == [b"a"]
    assert uncovered(stage.catalog, stage.name) == []


def test_dry_run_shows_the_plan_and_saves_nothing(stage: Scene) -> None:
    stage.put({b"f%d" % k: bytes(UNIT) for k in range(9)})
    stage.scan()
    shown = stage.plan(dry_run=True)
    assert not shown.saved
    assert shown.new == len(shown.containers) > 1
    assert containers.rows(stage.catalog, stage.name) == []
    assert planned(stage) == []
    saved = stage.plan()

    def facts(rows: list[Any]) -> list[Any]:
        return [(row.number, row.items, row.data_bytes, row.car_size, row.piece_size) for row in rows]

    assert facts(saved.containers) == facts(shown.containers)


def test_dry_run_takes_no_stale_plan_back(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    stage.scan()
    stage.plan()
    (stage.target / "a").write_bytes(b"22")
    stage.scan()
    before = planned(stage)
    assert stage.plan(dry_run=True).dropped == 1
    assert planned(stage) == before


def test_containerize_again_does_nothing(stage: Scene) -> None:
    stage.put({b"f%d" % k: bytes(UNIT) for k in range(9)})
    stage.scan()
    first = stage.plan()
    second = stage.plan()
    assert (second.new, second.dropped) == (0, 0)
    assert second.containers == first.containers


def test_new_files_go_into_new_containers(stage: Scene) -> None:
    stage.put({b"b": b"1"})
    stage.scan()
    first = stage.plan()
    stage.put({b"a": b"2"})
    stage.scan()
    second = stage.plan()
    assert (second.new, second.dropped) == (1, 0)
    assert second.containers[: len(first.containers)] == first.containers
    assert [row.number for row in second.containers] == [0, 1]


def test_stale_unbuilt_containers_are_planned_anew_and_built_ones_stay(stage: Scene) -> None:
    stage.put({b"f%d" % k: bytes([k]) * UNIT for k in range(9)})
    stage.scan()
    plan = stage.plan()
    assert len(plan.containers) > 2
    built, _ = stage.build(0)
    kept = [row for row in planned(stage) if row.container_id == built.container_id]
    (stage.target / "f8").write_bytes(b"changed")
    (stage.target / "f0").write_bytes(b"changed too")
    stage.scan()
    again = stage.plan()
    assert again.dropped == len(plan.containers) - 1
    assert [row for row in planned(stage) if row.container_id == built.container_id] == kept
    assert again.containers[0].built
    assert uncovered(stage.catalog, stage.name) == []
    ids = {row.id for row in again.containers[1:]}
    assert ids.isdisjoint({row.id for row in plan.containers})
    stage.blitz()
    assert stage.problems() == []


def test_split_file_half_built_keeps_its_other_shards_when_the_rest_is_planned_anew(stage: Scene) -> None:
    """Its built shards stay where they are; the others must not fall out of the plan."""
    stage.put({b"big": bytes(range(256)) * 32, b"z": b"1"})
    stage.scan()
    plan = stage.plan()
    assert len(plan.containers) > 1
    stage.build(0)
    (stage.target / "z").write_bytes(b"changed")
    stage.scan()
    assert stage.plan().dropped == len(plan.containers) - 1
    assert uncovered(stage.catalog, stage.name) == []
    assert not project_state(stage.catalog, stage.name).unplanned
    stage.blitz()
    assert stage.problems() == []
    assert {row.path: row.cid is not None for row in stage.files()}[b"big"]


def test_shards_of_one_file_stay_in_order_over_a_second_plan(stage: Scene) -> None:
    stage.put({b"big": bytes(8 * UNIT), b"z": b"1"})
    stage.scan()
    stage.plan()
    stage.build(1)
    (stage.target / "z").unlink()
    stage.scan()
    stage.plan()
    assert uncovered(stage.catalog, stage.name) == []
    numbers = sorted((row.number, row.start) for row in planned(stage) if row.path == b"big")
    assert numbers == [(k, k * UNIT) for k in range(8)]


def test_gone_file_of_a_built_container_changes_no_plan(stage: Scene) -> None:
    stage.run({b"a": b"1", b"b": b"2"})
    before = planned(stage)
    (stage.target / "a").unlink()
    stage.scan()
    again = stage.plan()
    assert (again.new, again.dropped) == (0, 0)
    assert planned(stage) == before
    assert stage.problems() == []


def test_stages_out_of_order_say_what_to_run_first(stage: Scene) -> None:
    with pytest.raises(StageOrderError, match="isn't scanned yet: run `ptolemy scan p` first"):
        stage.plan()
    with pytest.raises(UnknownProjectError, match="no project 'other'"):
        containerize(stage.catalog, "other")


def test_scan_that_was_never_finished_is_no_scan(stage: Scene) -> None:
    stage.put({b"%04d" % k: b"" for k in range(1000)})

    class Crash(Exception):
        pass

    def crash(found: int, data: int) -> None:
        raise Crash

    with pytest.raises(Crash):
        stage.scan(progress=crash)
    with pytest.raises(StageOrderError, match="isn't scanned yet"):
        stage.plan()


def test_two_plans_at_once_the_second_is_told_to_wait(stage: Scene) -> None:
    stage.put({b"a": b"1"})
    stage.scan()
    with stage.catalog.lock("containerize p"), pytest.raises(BusyError, match="being containerized already"):
        stage.plan()


def test_empty_target_has_an_empty_plan(stage: Scene) -> None:
    stage.scan()
    result = stage.plan()
    assert (result.containers, result.new) == ([], 0)
    with pytest.raises(
        StageOrderError, match="holds no files: its last scan found no file, link or empty folder"
    ):
        stage.seal()


def test_car_size_that_pads_badly_is_warned_of(make: Any) -> None:
    for car_size, warned in ((1, True), (4, True), (7, False), (31, False)):
        stage = make(f"p{car_size}", car_size=car_size)
        stage.scan()
        assert (stage.plan().warning is not None) == warned


def damage(stage: Scene, statement: Any) -> None:
    with stage.catalog.write() as connection:
        assert connection.execute(statement).rowcount == 1


def shard_of(stage: Scene, path: bytes, number: int) -> Any:
    row = next(row for row in planned(stage) if (row.path, row.number) == (path, number))
    return sa.and_(shard.c.container_id == row.container_id, shard.c.position == row.position)


@pytest.fixture
def split_plan(stage: Scene) -> Scene:
    stage.put({b"big": bytes(3 * UNIT), b"small": b"1", b"none": b"", b"void": {}})
    stage.scan()
    stage.plan()
    assert uncovered(stage.catalog, stage.name) == []
    return stage


@pytest.mark.parametrize(
    ("path", "number"), [(b"big", 0), (b"big", 1), (b"big", 2), (b"small", -1), (b"none", -1), (b"void", -1)]
)
def test_coverage_finds_a_missing_shard(split_plan: Scene, path: bytes, number: int) -> None:
    damage(split_plan, shard.delete().where(shard_of(split_plan, path, number)))
    found = uncovered(split_plan.catalog, split_plan.name)
    assert any(problem.startswith(path.decode()) for problem in found)
    assert any(problem.startswith("container ") for problem in found)


@pytest.mark.parametrize(
    ("path", "number", "values"),
    [
        (b"big", 1, {"start": UNIT - 1}),  # overlaps, and leaves a gap
        (b"big", 1, {"length": UNIT - 1}),
        (b"big", 1, {"length": UNIT + 1}),
        (b"big", 2, {"length": UNIT - 1}),
        (b"big", 2, {"number": 3}),
        (b"big", 0, {"start": 1}),
        (b"small", -1, {"length": 2}),
        (b"small", -1, {"start": 1}),
        (b"small", -1, {"number": 1}),
    ],
)
def test_coverage_finds_gaps_and_overlaps(
    split_plan: Scene, path: bytes, number: int, values: dict[str, int]
) -> None:
    damage(split_plan, shard.update().where(shard_of(split_plan, path, number)).values(values))
    assert any(
        problem.startswith(path.decode()) for problem in uncovered(split_plan.catalog, split_plan.name)
    )


def test_coverage_finds_an_entry_that_stands_in_two_containers(split_plan: Scene) -> None:
    row = next(row for row in planned(split_plan) if row.path == b"small")
    twin = {"container_id": row.container_id, "position": 99, "file_id": row.file_id}
    with split_plan.catalog.write() as connection:
        connection.execute(shard.insert().values(**twin, number=-1, start=0, length=1))
    assert uncovered(split_plan.catalog, split_plan.name)[0].startswith("small")


def test_coverage_finds_a_lost_container(split_plan: Scene) -> None:
    with split_plan.catalog.write() as connection:
        connection.execute(container.delete())
    assert len(uncovered(split_plan.catalog, split_plan.name)) >= 4


def test_plan_read_in_many_batches_from_a_file_is_the_plan_read_in_one(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {b"d%d" % d: {b"f%02d" % k: bytes(UNIT * (k % 4) + k) for k in range(20)} for d in range(3)}
    plans = []
    for name, batch, in_memory in (("one", 20_000, 100_000), ("many", 3, 7)):
        monkeypatch.setattr(container_plan, "_BATCH", batch)
        monkeypatch.setattr(spill, "IN_MEMORY", in_memory)
        stage = make(name)
        stage.put(content)
        stage.scan()
        containers_of = [row[1:] for row in map(astuple, stage.plan().containers)]
        shards = [(row.position, row.path, row.number, row.start, row.length) for row in planned(stage)]
        plans.append((containers_of, shards))
        assert uncovered(stage.catalog, stage.name) == []
    assert len(plans[0][0]) > 2
    assert plans[0] == plans[1]


def test_plan_that_breaks_off_while_it_is_written_leaves_nothing(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put({b"f%d" % k: bytes(UNIT) for k in range(9)})
    stage.scan()
    monkeypatch.setattr(container_plan, "_BATCH", 2)
    insert = container_plan.bulk.insert_columns
    calls: list[str] = []

    class Crash(Exception):
        pass

    def breaking(connection: Any, table: Any, *rest: Any, **more: Any) -> None:
        calls.append(table.name)
        if calls.count("shard") == 3:
            raise Crash
        insert(connection, table, *rest, **more)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(container_plan.bulk, "insert_columns", breaking)
        stage.plan()
    assert containers.rows(stage.catalog, stage.name) == []
    assert planned(stage) == []
    assert stage.plan().new > 1
    assert uncovered(stage.catalog, stage.name) == []
