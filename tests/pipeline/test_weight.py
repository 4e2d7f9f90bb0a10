"""Which steps get a process of their own: those with much work, and those with several CARs."""

import os
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.catalog import projects, scans
from ptolemy_core.stages.blitz import build_container
from ptolemy_core.stages.verify import verify
from ptolemy_dagster import weight
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files
from tests.pipeline.processes import events, runs

VERIFY = "built_cars_cars_verify"


def light(tags: dict[str, str], config: dict[str, Any] | None = None) -> bool:
    run: Any = SimpleNamespace(
        tags={"dagster/partition": "delta"}, run_config={"ops": {VERIFY: {"config": config or {}}}}
    )
    return weight.is_light(run, VERIFY, tags)


def light_build() -> bool:
    run: Any = SimpleNamespace(tags={"dagster/partition": "delta"}, run_config={})
    return weight.is_light(run, "built_cars.build_batch[x]", weight.BUILDS)


def started_processes(backend: Backend) -> set[str]:
    """Steps of the only run that got processes of their own; all of its steps are seen to have succeeded."""
    (run,) = runs(backend)
    started = {
        event.step_key.split("[")[0]
        for event in events(backend, run.run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
        if event.step_key
    }
    done = {event.step_key for event in events(backend, run.run_id, dg.DagsterEventType.STEP_SUCCESS)}
    assert {"scan_result", "container_plan", "built_cars.pending", "built_cars.seal", "manifest"} <= done
    return started


def test_a_run_starts_processes_for_builds_and_verification_of_several_cars_only(backend: Backend) -> None:
    backend.define(target=backend.folder(files=tiny_files(2)))
    assert plan_small(backend.catalog, "delta", 3100) == 2
    backend.execute("onboard")
    assert started_processes(backend) == {"built_cars.build_batch", VERIFY}


def test_a_run_of_one_small_car_starts_no_process(sqlite: Backend) -> None:
    sqlite.define()
    sqlite.execute("onboard")
    assert started_processes(sqlite) == set()


def test_few_entries_are_light_and_many_are_not(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(5)))
    assert light(weight.ENTRIES)
    monkeypatch.setattr(weight, "FEW", 4)
    assert not light(weight.ENTRIES)  # never scanned: the folder tells
    plan_small(sqlite.catalog, "delta", 3100)
    assert scans.holds_at_most(sqlite.catalog, "delta", 5)
    assert not scans.holds_at_most(sqlite.catalog, "delta", 4)


def test_a_few_thousand_entries_are_light(sqlite: Backend) -> None:
    folder = sqlite.root / "many"
    folder.mkdir()
    for number in range(6_000):
        os.mknod(folder / f"{number}")
    sqlite.define(target=folder)
    assert light(weight.ENTRIES)


def test_a_build_of_one_small_car_is_light(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(2)))
    plan_small(sqlite.catalog, "delta", 3100)
    assert not light_build()  # two CARs
    build_container(sqlite.catalog, "delta", 0)
    assert light_build()
    monkeypatch.setattr(weight, "SMALL", 3000)
    assert not light_build()
    monkeypatch.undo()
    monkeypatch.setattr(weight, "FEW", 0)
    assert not light_build()


@pytest.mark.parametrize("place", ["target_dir", "staging_dir"])
def test_a_build_over_the_network_is_not_light(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(1)))
    plan_small(sqlite.catalog, "delta", 3100)
    assert light_build()
    project = projects.get(sqlite.catalog, "delta")
    there = project.model_copy(update={place: "s3://bucket/there"})
    monkeypatch.setattr(projects, "get", lambda *_: there)
    assert not light_build()


def test_a_verification_is_light_when_it_reads_one_small_car_at_most(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(2)))
    plan_small(sqlite.catalog, "delta", 3100)
    with sqlite.instance() as instance:
        in_process("blitz", "delta", instance)
        assert not light(weight.CARS)  # two CARs
        with closing(verify(sqlite.catalog, "delta", number=0)) as verdicts:
            assert all(verdict.ok for verdict in verdicts)
        assert light(weight.CARS)
        in_process("verify", "delta", instance)
    monkeypatch.setattr(weight, "SMALL", 3000)
    assert light(weight.CARS)  # nothing to read
    assert not light(weight.CARS, {"again": True})
    assert not light(weight.CARS, {"source": True})


def test_what_is_not_known_to_be_light_is_not(sqlite: Backend) -> None:
    assert not light({})
    assert not light(weight.ENTRIES)  # no such project
