"""A serial project in Dagster: runs that wait end well, the sensor launches the next one, and no work is hidden."""

import os
import shutil
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.catalog import cars, delivery, waiting
from ptolemy_core.project import Project
from ptolemy_core.stages import release
from ptolemy_dagster.assets.cars import seal
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.sensors.staging_space import staging_space
from ptolemy_dagster.status import project_status
from tests.pipeline.backend import Backend, failure_of, in_process, plan_small, tiny_files
from tests.pipeline.test_assets import metadata_of, problems_of

BUDGET = 4000
"""Bytes: room for one CAR of 3,000 bytes of data. No setting is so small."""


@pytest.fixture(autouse=True)
def _small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Project, "budget_bytes", lambda self, *_: BUDGET if self.load_type == "serial" else None
    )


def define(backend: Backend, instance: dg.DagsterInstance, count: int = 3) -> None:
    backend.define(target=backend.folder(files=tiny_files(count)), instance=instance, load_type="serial")
    assert plan_small(backend.catalog, "delta", 3100) == count


def sense(instance: dg.DagsterInstance) -> tuple[list[tuple[str, str]], str]:
    """What the sensor asks for: run keys and partitions; and why it doesn't."""
    context = dg.build_sensor_context(instance=instance, definitions=defs)
    result = staging_space(context, catalog=CatalogResource())
    assert isinstance(result, dg.SensorResult)
    added = result.dynamic_partitions_requests or []
    for request in added:
        instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    reason = result.skip_reason.skip_message if result.skip_reason else ""
    return [(run.run_key or "", run.partition_key or "") for run in result.run_requests or []], reason or ""


def status(backend: Backend, instance: dg.DagsterInstance) -> str:
    return project_status(backend.catalog, instance, "delta").text


def test_a_serial_project_is_built_to_its_end_as_its_cars_leave(backend: Backend, instance: Any) -> None:
    define(backend, instance)
    assert sense(instance) == ([], "no project waits for free space")
    result = in_process("onboard", "delta", instance)
    shown = metadata_of(result, "built_cars")
    assert (shown["CARs"], shown["built in this run"], shown["left for later"]) == (1, 1, 2)
    assert shown["waits for"].endswith("to leave staging_dir, before CAR 000001")
    assert "missing" not in shown
    (waits,) = waiting.rows(backend.catalog)
    assert f"({waits.bytes:,} bytes)" in shown["waits for"]
    assert status(backend, instance).startswith("waiting for ")
    assert sense(instance)[0] == []
    assert f"({waits.bytes} bytes)" in sense(instance)[1]
    away = backend.root / "away"
    away.mkdir()
    keys = set()
    for number, left in ((0, 1), (1, 0)):
        row = next(cars.rows(backend.catalog, "delta", number))
        os.rename(backend.staging() / row.file_name, away / row.file_name)
        delivery.mark(backend.catalog, row, "away")
        assert status(backend, instance) == "ready to continue"
        ((key, partition),) = sense(instance)[0]
        assert partition == "delta"
        assert sense(instance)[0] == [(key, partition)]  # Dagster launches a key once
        keys.add(key)
        shown = metadata_of(in_process("blitz", "delta", instance), "built_cars")
        assert (shown["built in this run"], shown.get("left for later", 0)) == (1, left)
        assert len(backend.staged()) == 1
    assert len(keys) == 2
    assert (status(backend, instance), sense(instance)) == (
        "blitz complete",
        ([], "no project waits for free space"),
    )
    assert shown["CARs"] == 3
    assert "waits for" not in shown
    again = in_process("blitz", "delta", instance)
    assert not again.asset_materializations_for_node("built_cars.seal")  # nothing changed
    verified = in_process("verify", "delta", instance)
    (check,) = verified.get_asset_check_evaluations()
    assert check.passed
    assert (check.metadata["CARs"].value, check.metadata["delivered, not in staging"].value) == (1, 2)
    built = instance.fetch_materializations(dg.AssetKey("car"), limit=100).records
    assert sorted(record.partition_key for record in built) == [f"delta|{number:06d}" for number in range(3)]


def test_the_sensor_registers_a_partition_that_dagster_has_lost(sqlite: Backend, instance: Any) -> None:
    define(sqlite, instance)
    in_process("blitz", "delta", instance)
    release.release(sqlite.catalog, list(cars.rows(sqlite.catalog, "delta")), remove=True)
    instance.delete_dynamic_partition("projects", "delta")
    assert [partition for _, partition in sense(instance)[0]] == ["delta"]
    assert instance.get_dynamic_partitions("projects") == ["delta"]


def test_the_sensor_launches_nothing_while_staging_is_not_there(sqlite: Backend, instance: Any) -> None:
    define(sqlite, instance)
    in_process("blitz", "delta", instance)
    sqlite.staging().rename(sqlite.root / "unmounted")
    asked, reason = sense(instance)
    assert asked == []
    assert "can't be read (No such file or directory): check that it exists and is mounted" in reason


def test_a_seal_hides_no_lost_batch_behind_an_old_wait(sqlite: Backend, instance: Any) -> None:
    """A run whose steps were lost: nobody of that run says that it left these containers."""
    define(sqlite, instance)
    in_process("blitz", "delta", instance)
    assert waiting.rows(sqlite.catalog)
    context = dg.build_op_context(partition_key="delta", instance=instance)
    for batches in ([], [{"built": 0, "left": [2]}]):
        with pytest.raises(
            dg.Failure, match="CARs? of project 'delta' (is|are) not built, the first is number 1"
        ):
            list(seal(context, catalog=CatalogResource(), batches=batches))


def test_a_bad_source_before_the_wait_still_fails_the_run(sqlite: Backend, instance: Any) -> None:
    define(sqlite, instance)
    os.utime(sqlite.root / "data" / "000.bin", ns=(0, 1))
    result = in_process("blitz", "delta", instance, raise_on_error=False)
    assert "000.bin changed since the scan" in failure_of(result)
    assert [row.number for row in cars.rows(sqlite.catalog, "delta")] == [1]
    assert [row.number for row in waiting.rows(sqlite.catalog)] == [2]
    assert sense(instance)[0] == []  # for CAR 2, though CAR 0 isn't built either


def test_a_car_that_left_without_a_mark_is_shown_and_found(sqlite: Backend, instance: Any) -> None:
    define(sqlite, instance)
    in_process("onboard", "delta", instance)
    (name,) = sqlite.staged()
    (sqlite.staging() / name).unlink()
    shown = metadata_of(in_process("blitz", "delta", instance), "built_cars")
    assert shown["built in this run"] == 1  # the next one, not the one that left
    assert (
        "1 built CAR isn't whole in staging_dir and isn't marked as delivered (delta/0)" in shown["missing"]
    )
    result = in_process("verify", "delta", instance, raise_on_error=False)
    assert not result.success
    assert "ptolemy release delta/0" in problems_of(result, "cars_verify")


def test_a_blitz_on_a_full_disk_is_a_clear_failure(
    sqlite: Backend, instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(1)), instance=instance)
    plan_small(sqlite.catalog, "delta", 3100)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 4, 5))
    result = in_process("blitz", "delta", instance, raise_on_error=False)
    assert f"{sqlite.staging()} has 5 bytes free, a CAR of " in failure_of(result)
    assert sqlite.staged() == set()


def test_the_sensor_is_on_and_launches_blitz() -> None:
    sensor = defs.get_repository_def().get_sensor_def("staging_space")
    assert sensor.job_name == "blitz"
    assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
