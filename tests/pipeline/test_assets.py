"""Assets and checks in this process: each stage on small real files, its metadata, and checks that fail."""

import gc
import os
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from ptolemy_core.catalog import cars, schema
from ptolemy_core.catalog.schema import shard
from ptolemy_core.dag import cid
from ptolemy_dagster import data_versions
from ptolemy_dagster.assets import scan as scan_module
from ptolemy_dagster.partitions import car_key
from tests.pipeline.backend import Backend, in_process, materialize_car, plan_small, tiny_files


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Metadata of the asset's one materialization, plain values."""
    events = [e for e in result.get_asset_materialization_events() if e.asset_key == dg.AssetKey(asset)]
    assert len(events) == 1
    return {key: value.value for key, value in events[0].materialization.metadata.items()}


def checks_of(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}


def problems_of(result: dg.ExecuteInProcessResult, check: str) -> str:
    found = [one for one in result.get_asset_check_evaluations() if one.check_name == check]
    return str(found[0].metadata["problems"].value)


def test_scan_result_shows_what_the_folder_holds(backend: Backend, instance: Any) -> None:
    target = backend.folder(files={"a.txt": b"alpha", "b/c.bin": bytes(5000), "b/empty": b""})
    (target / "link").symlink_to("a.txt")
    (target / "hollow").mkdir()
    backend.define(target=target, instance=instance)
    shown = metadata_of(in_process("scan", "delta", instance), "scan_result")
    counts = {
        "files": 3,
        "empty files": 1,
        "symbolic links": 1,
        "empty folders": 1,
        "left out": 0,
        "new, changed, gone": "5, 0, 0",
    }
    assert {key: shown[key] for key in counts} == counts
    assert "5,005 bytes" in shown["data"]
    assert "5,000 bytes" in shown["largest file"]


def test_garbage_is_collected_less_often_while_the_asset_scans(
    sqlite: Backend, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.define(instance=instance)
    seen: list[int] = []

    def scan(*args: Any, **options: Any) -> Any:
        seen.append(gc.get_threshold()[0])
        return inner(*args, **options)

    inner = scan_module.scan
    monkeypatch.setattr(scan_module, "scan", scan)
    before = gc.get_threshold()
    in_process("scan", "delta", instance)
    assert seen >= [50_000]
    assert gc.get_threshold() == before


def test_scan_result_names_entries_left_out(backend: Backend, instance: Any) -> None:
    os.mkfifo(backend.folder() / "pipe")
    backend.define(target=backend.root / "data", instance=instance)
    shown = metadata_of(in_process("scan", "delta", instance), "scan_result")
    assert shown["left out"] == 1
    assert "| pipe | a named pipe |" in shown["entries left out"]


def test_container_plan_shows_exact_sizes_and_registers_a_partition_per_car(
    backend: Backend, instance: Any
) -> None:
    backend.define(instance=instance)
    in_process("scan", "delta", instance)
    result = in_process("containerize", "delta", instance)
    shown = metadata_of(result, "container_plan")
    assert (shown["containers"], shown["new"]) == (1, 1)
    assert "| 000000 | 2 |" in shown["plan"]
    assert instance.get_dynamic_partitions("cars") == ["delta|000000"]
    in_process("blitz", "delta", instance)
    (car,) = cars.rows(backend.catalog, "delta")
    assert f"({car.car_size:,} bytes)" in shown["CARs"]
    assert checks_of(result) == {"plan_covers_scan": True}


def test_blitz_shows_each_car_with_its_cids(backend: Backend, instance: Any) -> None:
    backend.define(target=backend.folder(files=tiny_files(3)), instance=instance)
    plan_small(backend.catalog, "delta", 3100)
    result = in_process("onboard", "delta", instance)
    built = list(cars.rows(backend.catalog, "delta"))
    shown = metadata_of(result, "built_cars")
    assert (shown["CARs"], shown["built in this run"]) == (3, 3)
    assert shown["CAR bytes"] == sum(row.car_size for row in built)
    assert shown["piece bytes"] == sum(row.piece_size for row in built)
    assert not {"missing", "skipped", "waits for", "in no CAR"} & shown.keys()
    assert shown["staging folder"] == str(backend.staging())
    records = instance.fetch_materializations(dg.AssetKey("car"), limit=10).records
    events = [record.event_log_entry.dagster_event for record in records]
    assert sorted(e.partition for e in events) == [car_key("delta", number) for number in range(3)]
    for row in built:
        (event,) = [e for e in events if e.partition == car_key("delta", row.number)]
        said = {key: value.value for key, value in event.materialization.metadata.items()}
        assert said["payload CID"] == f"`{cid.to_text(row.payload_cid)}`"
        assert said["piece CID"] == f"`{cid.to_text(row.piece_cid_v1)}`"
        assert said["sha256"] == f"`{row.sha256.hex()}`"
        assert said["file"] == row.file_name
        assert f"`{cid.to_text(row.piece_cid_v1)}`" in shown["table"]
    assert {row.file_name for row in built} == backend.staged()
    assert checks_of(result) == {"nothing_left_out": True, "plan_covers_scan": True, "cars_verify": True}


@pytest.mark.parametrize("job", ["verify", "onboard"])
def test_a_flipped_bit_in_a_car_fails_its_check_and_the_run(
    backend: Backend, instance: Any, job: str
) -> None:
    backend.define(instance=instance)
    in_process("onboard", "delta", instance)
    (name,) = backend.cars()
    path = backend.staging() / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = in_process(job, "delta", instance, raise_on_error=False)
    assert not result.success
    assert checks_of(result)["cars_verify"] is False
    assert name in problems_of(result, "cars_verify")
    path.unlink()
    missing = in_process(job, "delta", instance, raise_on_error=False)
    assert not missing.success
    assert f"{name} can't be read" in problems_of(missing, "cars_verify")


def test_lost_shards_fail_plan_covers_scan_and_block_the_blitz(backend: Backend, instance: Any) -> None:
    backend.define(instance=instance)
    in_process("scan", "delta", instance)
    in_process("containerize", "delta", instance)
    with backend.catalog.write() as connection:
        connection.execute(sa.delete(shard).where(shard.c.position == 1))
        connection.execute(sa.update(shard).values(length=1))
    result = in_process("onboard", "delta", instance, raise_on_error=False)
    assert not result.success
    assert checks_of(result) == {"nothing_left_out": True, "plan_covers_scan": False}
    assert "a.txt: 1 of 5 bytes" in problems_of(result, "plan_covers_scan")
    assert backend.cars() == {}


def test_car_builds_one_container_alone(backend: Backend, instance: Any) -> None:
    backend.define(target=backend.folder(files=tiny_files(5)), instance=instance)
    plan_small(backend.catalog, "delta", 3100)
    in_process("containerize", "delta", instance)
    result = materialize_car(3, instance)
    assert result.success
    assert [row.number for row in cars.rows(backend.catalog, "delta")] == [3]
    in_process("blitz", "delta", instance)
    assert [row.number for row in cars.rows(backend.catalog, "delta")] == [0, 1, 2, 3, 4]


def test_car_rebuilds_a_deleted_file_bit_for_bit_and_keeps_its_receipt(
    backend: Backend, instance: Any
) -> None:
    backend.define(instance=instance)
    in_process("onboard", "delta", instance)
    (before,) = cars.rows(backend.catalog, "delta")
    path = backend.staging() / before.file_name
    data = path.read_bytes()
    path.unlink()
    in_process("blitz", "delta", instance)
    assert not path.exists()  # a CAR that was handed on isn't built again by itself
    assert materialize_car(0, instance).success
    assert path.read_bytes() == data
    assert before.verified_at
    # the file is a new one, so nothing is known of it
    unverified = replace(before, verified_at=None, file_ctime=None, file_inode=None)
    assert list(cars.rows(backend.catalog, "delta")) == [unverified]
    built = path.stat().st_mtime_ns
    assert materialize_car(0, instance).success
    assert path.stat().st_mtime_ns == built


def test_stages_run_twice_change_nothing(backend: Backend, instance: Any) -> None:
    backend.define(target=backend.folder(files=tiny_files(4)), instance=instance)
    plan_small(backend.catalog, "delta", 3100)
    in_process("onboard", "delta", instance)
    before = snapshot(backend)
    for job in ("scan", "containerize", "blitz", "onboard"):
        in_process(job, "delta", instance)
        assert snapshot(backend) == before, job
    assert len(instance.fetch_materializations(dg.AssetKey("car"), limit=100).records) == 4


def test_a_later_scan_plans_only_what_is_new(backend: Backend, instance: Any) -> None:
    target = backend.folder(files=tiny_files(2))
    backend.define(target=target, instance=instance)
    plan_small(backend.catalog, "delta", 3100)
    in_process("onboard", "delta", instance)
    before = backend.cars()
    times = {name: (backend.staging() / name).stat().st_mtime_ns for name in before}
    (target / "new.bin").write_bytes(b"new" * 500)
    (target / "000.bin").unlink()
    in_process("onboard", "delta", instance)
    assert len(backend.cars()) == 3
    assert before.items() <= backend.cars().items()
    assert {name: (backend.staging() / name).stat().st_mtime_ns for name in before} == times


def test_a_serial_project_builds_all_cars_in_one_step(sqlite: Backend, instance: Any) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(6)), instance=instance, load_type="serial")
    plan_small(sqlite.catalog, "delta", 3100)
    result = in_process("blitz", "delta", instance)
    assert len(sqlite.cars()) == 6
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    assert [step for step in steps if step and "build_batch" in step] == [
        "built_cars.build_batch[from_000000_to_000005]"
    ]


def test_a_blitz_has_a_step_for_each_of_a_few_cars(sqlite: Backend, instance: Any) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(6)), instance=instance)
    plan_small(sqlite.catalog, "delta", 3100)
    result = in_process("blitz", "delta", instance)
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    assert len([step for step in steps if step and "build_batch" in step]) == 6


def test_a_blitz_of_more_cars_than_batches_builds_several_in_a_step(
    sqlite: Backend, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ptolemy_dagster.assets.cars.MAX_BATCHES", 3)
    sqlite.define(target=sqlite.folder(files=tiny_files(8)), instance=instance)
    plan_small(sqlite.catalog, "delta", 3100)
    result = in_process("blitz", "delta", instance)
    assert len(sqlite.cars()) == 8
    steps = [event.step_key for event in result.all_events if event.is_step_success]
    assert sorted(step for step in steps if step and "build_batch" in step) == [
        f"built_cars.build_batch[from_{first:06d}_to_{last:06d}]" for first, last in ((0, 2), (3, 5), (6, 7))
    ]


def snapshot(backend: Backend) -> Any:
    """All that a repeated stage must leave as it is."""
    with backend.catalog.write() as connection:
        connection.execute(sa.update(schema.car).values(verified_at=None))  # that of the last time
        tables = [
            connection.execute(sa.text(f"SELECT * FROM {name} ORDER BY 1, 2")).all()
            for name in ("file", "container", "shard", "car", "built_shard")
        ]
    rows = [[tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in t] for t in tables]
    staged = {path.name: path.stat().st_mtime_ns for path in backend.staging().glob("*.car")}
    return rows, staged


def versions(instance: dg.DagsterInstance) -> dict[str, str | None]:
    names = ("scan_result", "container_plan", "built_cars", "dataset_root", "manifest")
    return {name: data_versions.last_of(instance, name, "delta") for name in names}


def made(instance: dg.DagsterInstance, asset: str) -> int:
    """How often an asset was materialized."""
    return len(instance.fetch_materializations(dg.AssetKey(asset), limit=100).records)


def test_a_run_that_changes_nothing_gives_the_same_data_versions(sqlite: Backend, instance: Any) -> None:
    sqlite.define(instance=instance)
    in_process("onboard", "delta", instance)
    before = versions(instance)
    assert all(before.values())
    in_process("onboard", "delta", instance)
    assert versions(instance) == before
    (sqlite.root / "data" / "new").write_bytes(b"new")
    in_process("onboard", "delta", instance)
    assert not set(versions(instance).items()) & set(before.items())


def test_a_second_blitz_leaves_the_cars_and_their_checks_as_they_are(sqlite: Backend, instance: Any) -> None:
    sqlite.define(instance=instance)
    in_process("onboard", "delta", instance)
    assert in_process("blitz", "delta", instance).success
    assert made(instance, "built_cars") == 1
    for path in sqlite.staging().glob("*.car"):
        path.unlink()
    in_process("blitz", "delta", instance)
    assert made(instance, "built_cars") == 2  # it says which CARs are missing
    (sqlite.root / "data" / "new").write_bytes(b"new")
    for job in ("scan", "containerize", "blitz"):
        in_process(job, "delta", instance)
    assert made(instance, "built_cars") == 3
