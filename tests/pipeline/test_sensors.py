"""The sensors watch and auto and the schedule rescan on a real instance, the clock being the test's."""

import datetime
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from ptolemy_core.catalog import history, projects
from ptolemy_core.catalog import skipped as records
from ptolemy_core.errors import StagingError
from ptolemy_core.stages import remove
from ptolemy_core.stages.blitz import build_container
from ptolemy_core.stages.containerize import containerize
from ptolemy_core.stages.scan import scan
from ptolemy_dagster import jobs
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.schedules import rescan
from ptolemy_dagster.sensors import auto, watch
from tests.pipeline.backend import REPOSITORY, Backend, in_process
from tests.pipeline.processes import builds, runs, started, wait_until


def asked(result: dg.SensorResult) -> list[str]:
    return [str(request.partition_key) for request in result.run_requests or []]


def skipped(result: dg.SensorResult) -> str:
    return getattr(result.skip_reason, "skip_message", None) or str(result.skip_reason)


def test_a_change_is_scanned_once_after_it_rests(backend: Backend) -> None:
    backend.define(watch=True, quiet_seconds=60)
    with backend.instance() as instance:

        def tick(cursor: Any, now: float) -> dg.SensorResult:
            return watch.tick(backend.catalog, instance, cursor, now)

        first = tick(None, 0)
        assert asked(first) == ["delta"]  # there is no base to compare with yet
        second = tick(first.cursor, 30)
        assert asked(second) == []
        assert "next try in 870 seconds" in skipped(second)
        scan(backend.catalog, "delta")
        third = tick(second.cursor, 60)
        assert skipped(third) == "delta: nothing changed in 2 folders"
        (backend.root / "data" / "new").write_bytes(b"n")
        fourth = tick(third.cursor, 90)
        assert skipped(fourth) == "delta: the target folder changed; quiet for 0 of 60 seconds"
        fifth = tick(fourth.cursor, 150)
        (request,) = fifth.run_requests or []
        assert request.tags["ptolemy/because"] == "the target folder changed"
        (before,) = first.run_requests or []
        assert request.run_key != before.run_key
        (same,) = tick(fourth.cursor, 151).run_requests or []  # a tick that is done again after a crash
        assert same.run_key == request.run_key
        assert asked(tick(fifth.cursor, 180)) == []


def test_nothing_is_launched_while_a_run_of_the_project_is_under_way(backend: Backend) -> None:
    backend.define(watch=True, auto=True)
    scan(backend.catalog, "delta")
    with backend.instance() as instance:
        run = instance.create_run_for_job(
            defs.resolve_job_def("scan"),
            tags={"dagster/partition": "delta"},
            status=dg.DagsterRunStatus.STARTED,
        )
        result = watch.tick(backend.catalog, instance, None, 0)
        assert (asked(result), skipped(result)) == ([], "delta: a run is active")
        other = auto.tick(backend.catalog, instance, None)
        assert (asked(other), skipped(other)) == ([], "delta: a run is active")
        instance.report_run_failed(run)
        assert asked(auto.tick(backend.catalog, instance, other.cursor)) == ["delta"]


def test_projects_that_dagster_does_not_know_get_their_partitions(backend: Backend) -> None:
    backend.define("delta")
    backend.define("echo", watch=True)
    with backend.instance() as instance:
        for name in ("delta", "echo"):
            instance.delete_dynamic_partition("projects", name)
        context = dg.build_sensor_context(
            instance=instance, resources={"catalog": CatalogResource()}, definitions=defs
        )
        with partition_loading_context(dynamic_partitions_store=instance):  # as the daemon does
            data = watch.watch.evaluate_tick(context)
            assert auto.auto.evaluate_tick(context).dynamic_partitions_requests
        assert not data.run_requests  # a run can't be asked for before its partition is there
        (new,) = data.dynamic_partitions_requests or []
        assert (new.partitions_def_name, list(new.partition_keys)) == ("projects", ["delta", "echo"])
        # the daemon would have added them
        instance.add_dynamic_partitions("projects", list(new.partition_keys))
        with partition_loading_context(dynamic_partitions_store=instance):
            again = watch.watch.evaluate_tick(context)
        assert not again.dynamic_partitions_requests
        assert [(r.partition_key, r.tags["dagster/partition"]) for r in again.run_requests or []] == [
            ("echo", "echo")
        ]


def test_watch_looks_at_watched_projects_alone_and_forgets_the_others(sqlite: Backend) -> None:
    sqlite.define("delta")
    sqlite.define("echo", watch=True)
    with sqlite.instance() as instance:
        first = watch.tick(sqlite.catalog, instance, None, 0)
        assert asked(first) == ["echo"]
        assert list(json.loads(first.cursor or "")["projects"]) == ["echo"]
        projects.change(sqlite.catalog, "echo", {"watch": False})
        second = watch.tick(sqlite.catalog, instance, first.cursor, 1)
        assert json.loads(second.cursor or "")["projects"] == {}
        assert skipped(second) == "no project is watched"


def test_a_tick_that_takes_too_long_goes_on_with_the_projects_it_left(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        sqlite.define(name, watch=True)
    monkeypatch.setattr(watch, "_SECONDS", 0.0)
    times = iter(range(100))
    monkeypatch.setattr(watch.time, "monotonic", lambda: next(times) / 2)
    with sqlite.instance() as instance:
        cursor = None
        turns = []
        for now in range(3):
            monkeypatch.setattr(watch, "_SECONDS", 0.6)
            result = watch.tick(sqlite.catalog, instance, cursor, now)
            turns.append(asked(result))
            cursor = result.cursor
    assert [name for turn in turns for name in turn] == ["a", "b", "c"]
    assert all(len(turn) == 1 for turn in turns)


def test_a_cursor_of_another_version_is_as_good_as_none(sqlite: Backend) -> None:
    sqlite.define(watch=True)
    cursor = json.dumps({"projects": {"delta": {"other": 1}}})
    with sqlite.instance() as instance:
        assert asked(watch.tick(sqlite.catalog, instance, cursor, 0)) == ["delta"]


def test_auto_carries_on_once_for_each_scan_that_left_work(backend: Backend) -> None:
    backend.define(auto=True)
    with backend.instance() as instance:

        def tick(cursor: Any) -> dg.SensorResult:
            return auto.tick(backend.catalog, instance, cursor)

        before = tick(None)
        assert (asked(before), skipped(before)) == ([], "no new scan of an automatic project")
        scan(backend.catalog, "delta")
        first = tick(before.cursor)
        assert asked(first) == ["delta"]
        assert asked(tick(first.cursor)) == []
        containerize(backend.catalog, "delta")
        build_container(backend.catalog, "delta", 0)
        scan(backend.catalog, "delta")
        second = tick(first.cursor)
        number = history.last_scan(backend.catalog, "delta")
        assert (asked(second), skipped(second)) == ([], f"delta: scan {number} left nothing to do")
        (backend.root / "data" / "new").write_bytes(b"n")
        scan(backend.catalog, "delta")
        third = tick(second.cursor)
        assert asked(third) == ["delta"]
        scan(backend.catalog, "delta")  # the run was lost: what is left to do is seen after the next scan
        fourth = tick(third.cursor)
        assert asked(fourth) == ["delta"]
        keys = {(r.run_requests or [])[0].run_key for r in (first, third, fourth)}
        assert len(keys) == 3


def test_a_project_that_was_deleted_and_created_again_is_watched_and_carried_on_as_a_new_one(
    sqlite: Backend,
) -> None:
    keys = set()
    cursors: dict[Any, Any] = {}
    with sqlite.instance() as instance:
        for now in (0, 10_000):
            sqlite.define(watch=True, auto=True)
            looked = watch.tick(sqlite.catalog, instance, cursors.get(watch), now)
            scan(sqlite.catalog, "delta")
            assert history.last_scan(sqlite.catalog, "delta") == 1  # SQLite gives the number again
            carried = auto.tick(sqlite.catalog, instance, cursors.get(auto))
            assert (asked(looked), asked(carried)) == (["delta"], ["delta"])
            keys |= {request.run_key for one in (looked, carried) for request in one.run_requests or []}
            cursors = {watch: looked.cursor, auto: carried.cursor}
            remove.delete(sqlite.catalog, "delta")
    assert len(keys) == 4


def test_a_project_that_cannot_be_looked_at_keeps_no_other_from_it(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("delta", "echo"):
        sqlite.define(name, watch=True)
    real = watch.look

    def look(catalog: Any, project: Any, *more: Any) -> Any:
        if project.name == "delta":
            raise StagingError("its folder is odd")
        return real(catalog, project, *more)

    monkeypatch.setattr(watch, "look", look)
    with sqlite.instance() as instance:
        assert asked(watch.tick(sqlite.catalog, instance, None, 0)) == ["echo"]


def test_auto_leaves_other_projects_alone(sqlite: Backend) -> None:
    sqlite.define()
    scan(sqlite.catalog, "delta")
    with sqlite.instance() as instance:
        result = auto.tick(sqlite.catalog, instance, None)
        assert asked(result) == []
        projects.change(sqlite.catalog, "delta", {"auto": True})
        assert asked(auto.tick(sqlite.catalog, instance, result.cursor)) == ["delta"]


def test_carry_on_plans_and_builds_but_neither_scans_nor_reads_old_cars_back(sqlite: Backend) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        sqlite.define(instance=instance)
        scan(sqlite.catalog, "delta")
        result = defs.resolve_job_def(jobs.carry_on.name).execute_in_process(
            tags={"dagster/partition": "delta"}, instance=instance
        )
    done = {event.step_key.split(".")[0] for event in result.all_events if event.is_step_success}
    assert done == {"container_plan", "container_plan_plan_covers_scan", "built_cars"}
    assert len(sqlite.cars()) == 1


def test_rescan_asks_for_each_watched_project(backend: Backend) -> None:
    for name in ("delta", "echo", "foxtrot"):
        backend.define(name, watch=name != "echo")
    with backend.instance() as instance:
        instance.delete_dynamic_partition("projects", "foxtrot")
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime.datetime(2030, 1, 2, 3, tzinfo=datetime.UTC),
            resources={"catalog": CatalogResource()},
        )
        requests = list(rescan(context))
        assert instance.has_dynamic_partition("projects", "foxtrot")
    assert [(r.partition_key, r.run_key) for r in requests] == [
        ("delta", "rescan|delta|2030-01-02 03:00"),
        ("foxtrot", "rescan|foxtrot|2030-01-02 03:00"),
    ]


def test_sensors_and_schedule_run_without_being_switched_on() -> None:
    repository = defs.get_repository_def()
    status = {one.name: one.default_status.value for one in repository.sensor_defs}
    assert status == dict.fromkeys(("watch", "auto", "deals", "staging_space", "failed"), "RUNNING")
    assert {one.name: one.default_status.value for one in repository.schedule_defs} == {
        "rescan": "RUNNING",
        "daily_deals": "RUNNING",
    }


def test_a_skipped_file_is_shown_by_the_blitz_and_agrees_with_the_checks(backend: Backend) -> None:
    backend.define(target=backend.folder(files={"a": b"1", "b": b"2"}), on_error="skip")
    with dg.DagsterInstance.ephemeral() as instance:
        backend.define(target=backend.root / "data", instance=instance, on_error="skip")
        for job in ("scan", "containerize"):
            assert in_process(job, "delta", instance).success
        (backend.root / "data" / "a").unlink()
        result = in_process("blitz", "delta", instance)
        (event,) = [
            e for e in result.get_asset_materialization_events() if e.asset_key.path == ["built_cars"]
        ]
        shown = {key: value.value for key, value in event.materialization.metadata.items()}
        assert shown["skipped"] == 1
        assert "| a | is missing since the scan" in str(shown["files skipped"])
        for job in ("containerize", "verify"):
            checked = in_process(job, "delta", instance)
            assert [check.passed for check in checked.get_asset_check_evaluations()] == [True]
        assert len(backend.cars()) == 1
        (backend.root / "data" / "c").write_bytes(b"3")
        in_process("scan", "delta", instance)
        in_process("containerize", "delta", instance)
        (backend.root / "data" / "c").unlink()
        assert in_process("blitz", "delta", instance).success  # of the new container nothing is left
        assert in_process("blitz", "delta", instance).success
        assert [row["reason"] for row in map(asdict, records.rows(backend.catalog, "delta"))] == [
            "is missing since the scan (No such file or directory)"
        ] * 2
        assert len(backend.cars()) == 1


@pytest.mark.slow
def test_a_new_file_in_a_watched_folder_becomes_a_car_by_itself(sqlite: Backend) -> None:
    target = sqlite.folder()
    sqlite.define(target=target, watch=True, auto=True, quiet_seconds=0)
    with sqlite.instance() as instance:  # as with a catalog that is older than its Dagster home
        instance.delete_dynamic_partition("projects", "delta")
    env = dict(sqlite.env, PTOLEMY_SENSOR_SECONDS="1")
    daemon = ("dagster._daemon", "run", "-w", str(REPOSITORY / "workspace.yaml"))
    with started(Backend(sqlite.root, env), *daemon) as process:
        wait_until(lambda: len(sqlite.cars()) == 1, alive=[process])
        wait_until(lambda: all(run.is_finished for run in runs(sqlite)), alive=[process])
        (target / "b" / "new.bin").write_bytes(b"new" * 1000)
        wait_until(lambda: len(sqlite.cars()) == 2, alive=[process])
        wait_until(lambda: all(run.is_finished for run in runs(sqlite)), alive=[process])
    assert staged_cars(sqlite.staging()) == sqlite.cars().keys()
    assert builds(sqlite) == {"delta|000000": 1, "delta|000001": 1}
    by_sensors = [run for run in reversed(runs(sqlite)) if run.tags.get("ptolemy/because") != "daily rescan"]
    launched = [(run.job_name, run.status.value) for run in by_sensors]
    assert launched == [("scan", "SUCCESS"), ("carry_on", "SUCCESS")] * 2
    (version,) = history.versions(sqlite.catalog, "delta", "b/new.bin")
    assert version.containers == [1]


def staged_cars(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.car")}
