"""What stages refuse, and how they say it; the rest of a project goes on."""

import re
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, JobFailureData, RunFailureReason
from dagster._utils.error import serializable_error_info_from_exc_info

from ptolemy_core.catalog import cars
from ptolemy_core.errors import PtolemyError
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.failures import why_ended
from ptolemy_dagster.liveness import Watched
from ptolemy_dagster.partitions import PARTITION_TAG, require_partition
from tests.pipeline.backend import Backend, failure_of, in_process, materialize_car, plan_small, tiny_files


@pytest.mark.parametrize("job", ["scan", "onboard", "verify"])
def test_a_partition_that_is_no_project_is_refused_at_the_first_step(
    sqlite: Backend, instance: Any, job: str
) -> None:
    result = in_process(job, "nemo", instance, raise_on_error=False)
    assert "no project 'nemo': create it first" in failure_of(result)
    assert len({event.step_key for event in result.all_events if event.is_step_start}) == 1


class Steps(dg.Executor):
    """An executor whose steps aren't reached."""

    retries = None  # type: ignore[assignment]

    def execute(self, plan_context: Any, execution_plan: Any) -> Any:
        raise AssertionError("a step was started")


@pytest.mark.parametrize(
    ("tags", "code", "reason"),
    [
        ({PARTITION_TAG: "nemo"}, "unknown-project", "no project 'nemo': create it first (projects: delta)"),
        ({PARTITION_TAG: "nemo|000000"}, "unknown-project", "no project 'nemo': create it first"),
        ({PARTITION_TAG: "delta|000099"}, "not-found", "no CAR 'delta|000099' is planned"),
        ({PARTITION_TAG: "delta|x"}, "stage-order", "isn't the key of a CAR"),
        ({}, "bad-value", "this run has no project: launch it for a partition"),
    ],
)
@pytest.mark.parametrize("job", ["carry_on", "root", "deal"])
def test_a_run_with_a_partition_that_is_not_there_ends_before_its_steps_and_says_why(
    sqlite: Backend, instance: dg.DagsterInstance, job: str, tags: dict[str, str], code: str, reason: str
) -> None:
    sqlite.define(instance=instance)
    run = instance.create_run_for_job(defs.resolve_job_def(job), tags=tags)
    context: Any = SimpleNamespace(run_id=run.run_id, instance=instance, dagster_run=run)
    with pytest.raises(PtolemyError, match=re.escape(reason)) as refused:
        list(Watched(Steps()).execute(context, None))
    assert refused.value.code == code
    failed = instance.get_run_by_id(run.run_id)
    assert failed is not None
    assert failed.tags["dagster/max_retries"] == "0"  # the daemon would launch it again
    error = serializable_error_info_from_exc_info((refused.type, refused.value, refused.tb))
    data = JobFailureData(error=error, failure_reason=RunFailureReason.RUN_EXCEPTION)
    event = DagsterEvent(
        dg.DagsterEventType.RUN_FAILURE.value, job, message="failed", event_specific_data=data
    )
    instance.report_dagster_event(event, run.run_id)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    why = why_ended(instance, ended)
    assert (why.code, why.text) == (code, str(refused.value))


def test_a_run_that_dagster_gave_up_has_what_dagster_says_as_its_reason(
    sqlite: Backend, instance: dg.DagsterInstance
) -> None:
    sqlite.define(instance=instance)
    run = instance.create_run_for_job(defs.resolve_job_def("blitz"), tags={PARTITION_TAG: "delta"})
    instance.report_run_failed(run, "Run worker 7 ended without a word")
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None
    why = why_ended(instance, ended)
    assert (why.code, why.text) == (None, "Run worker 7 ended without a word")


def test_a_project_that_dagster_alone_does_not_know_is_registered_by_its_run(
    sqlite: Backend, instance: dg.DagsterInstance
) -> None:
    sqlite.define(instance=instance)
    instance.delete_dynamic_partition("projects", "delta")
    require_partition(sqlite.catalog, instance, {PARTITION_TAG: "delta"})
    assert instance.has_dynamic_partition("projects", "delta")


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
