"""What stages refuse, and how they say it; the rest of a project goes on."""

from typing import Any

import pytest

from ptolemy_core.catalog import cars
from tests.pipeline.backend import Backend, failure_of, in_process, materialize_car, plan_small, tiny_files


@pytest.mark.parametrize("job", ["scan", "onboard", "verify"])
def test_a_partition_that_is_no_project_is_refused_at_the_first_step(
    sqlite: Backend, instance: Any, job: str
) -> None:
    result = in_process(job, "nemo", instance, raise_on_error=False)
    assert "no project 'nemo': create it first" in failure_of(result)
    assert len({event.step_key for event in result.all_events if event.is_step_start}) == 1


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("containerize", "project 'delta' isn't scanned yet: run `ptolemy scan delta` first"),
        ("blitz", "project 'delta' isn't scanned yet: run `ptolemy scan delta` first"),
        ("verify", "project 'delta' isn't scanned yet: run `ptolemy scan delta` first"),
    ],
)
def test_stages_out_of_order_say_which_comes_first(
    sqlite: Backend, instance: Any, job: str, message: str
) -> None:
    sqlite.define(instance=instance)
    assert failure_of(in_process(job, "delta", instance, raise_on_error=False)) == message


def test_an_empty_folder_has_no_containers_and_says_so(sqlite: Backend, instance: Any) -> None:
    sqlite.define(target=sqlite.folder("hollow", {}), instance=instance)
    result = in_process("onboard", "delta", instance, raise_on_error=False)
    said = "project 'delta' holds no files: its last scan found no file, link or empty folder"
    assert failure_of(result).startswith(said)


def test_a_changed_source_fails_its_car_by_name_and_not_the_others(backend: Backend, instance: Any) -> None:
    target = backend.folder(files=tiny_files(4))
    backend.define(target=target, instance=instance, load_type="serial")
    plan_small(backend.catalog, "delta", 3100)
    (target / "001.bin").write_bytes(b"changed")
    result = in_process("blitz", "delta", instance, raise_on_error=False)
    assert not result.success
    said = f"CAR 000001: {target}/001.bin changed since the scan, its size was 3000 bytes, now 7"
    assert said in failure_of(result)
    assert [row.number for row in cars.rows(backend.catalog, "delta")] == [0, 2, 3]
    assert backend.staged() == backend.cars().keys()
    assert in_process("onboard", "delta", instance).success  # as the message says
    assert len(backend.cars()) == 4


def test_a_deleted_source_fails_its_car_by_name(sqlite: Backend, instance: Any) -> None:
    sqlite.define(instance=instance)
    in_process("scan", "delta", instance)
    in_process("containerize", "delta", instance)
    (sqlite.root / "data" / "a.txt").unlink()
    result = in_process("blitz", "delta", instance, raise_on_error=False)
    assert "data/a.txt is missing since the scan" in failure_of(result)
    assert sqlite.staged() == set()


@pytest.mark.parametrize(
    ("key", "reason"), [("delta|000007", "no container 7"), ("delta", "isn't the key of a CAR")]
)
def test_a_key_that_names_no_car_is_refused(sqlite: Backend, instance: Any, key: str, reason: str) -> None:
    sqlite.define(instance=instance)
    in_process("scan", "delta", instance)
    instance.add_dynamic_partitions("cars", [key])
    result = materialize_car(key, instance)
    assert not result.success
    assert reason in failure_of(result)


def test_a_car_is_not_built_from_a_file_that_changed(sqlite: Backend, instance: Any) -> None:
    sqlite.define(instance=instance)
    in_process("scan", "delta", instance)
    in_process("containerize", "delta", instance)
    (sqlite.root / "data" / "a.txt").write_bytes(b"omega!")
    result = materialize_car(0, instance)
    assert not result.success
    assert "data/a.txt changed since the scan, its size was 5 bytes, now 6" in failure_of(result)
    assert sqlite.staged() == set()
