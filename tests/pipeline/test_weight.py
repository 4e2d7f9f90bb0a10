"""Which steps get a process of their own: those with much work, and those that read CARs."""

import os
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.catalog import scans
from ptolemy_dagster import weight
from tests.pipeline.backend import Backend, in_process, plan_small, tiny_files
from tests.pipeline.processes import events, runs

VERIFY = "built_cars_cars_verify"


def light(tags: dict[str, str], config: dict[str, Any] | None = None) -> bool:
    run: Any = SimpleNamespace(
        tags={"dagster/partition": "delta"}, run_config={"ops": {VERIFY: {"config": config or {}}}}
    )
    return weight.is_light(run, VERIFY, tags)


def test_a_run_starts_processes_for_builds_and_verification_only(backend: Backend) -> None:
    backend.define()
    backend.execute("onboard")
    (run,) = runs(backend)
    started = {
        event.step_key.split("[")[0]
        for event in events(backend, run.run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
        if event.step_key
    }
    done = {event.step_key for event in events(backend, run.run_id, dg.DagsterEventType.STEP_SUCCESS)}
    assert started == {"built_cars.build_batch", VERIFY}
    assert {"scan_result", "container_plan", "built_cars.pending", "built_cars.seal", "manifest"} <= done


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


def test_a_verification_is_light_only_when_it_reads_nothing(sqlite: Backend) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(1)))
    plan_small(sqlite.catalog, "delta", 3100)
    with sqlite.instance() as instance:
        in_process("blitz", "delta", instance)
        assert not light(weight.CARS)
        in_process("verify", "delta", instance)
    assert light(weight.CARS)
    assert not light(weight.CARS, {"again": True})
    assert not light(weight.CARS, {"source": True})


def test_what_is_not_known_to_be_light_is_not(sqlite: Backend) -> None:
    assert not light({})
    assert not light(weight.ENTRIES)  # no such project
