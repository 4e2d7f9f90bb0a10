"""What dies is done again: killed steps, killed runs, two runs at once. No CAR is lost, and none differs."""

import os
import random
import signal
from types import SimpleNamespace

import dagster as dg
import pytest

from ptolemy_core.catalog import cars, stored_cars
from ptolemy_core.stages import blitz
from ptolemy_core.staging.area import OUTLINES
from tests.pipeline.backend import Backend, execute_arguments, in_process, plan_small, tiny_files
from tests.pipeline.processes import builds, events, kill_group, runs, started, wait_until


def build_undisturbed(backend: Backend) -> None:
    """The same plan in a project of its own, built in this process: what the CARs must be."""
    backend.define("calm", backend.root / "data", load_type="serial")
    plan_small(backend.catalog, "calm", 3100)
    with backend.instance() as instance:
        in_process("blitz", "calm", instance)


def assert_whole(backend: Backend, count: int) -> None:
    """All CARs are there as an undisturbed build makes them, and nothing else is."""
    assert len(backend.cars()) == count
    assert backend.cars() == backend.cars("calm")
    assert backend.staged() == backend.staged("calm") == backend.cars().keys()
    for name in backend.staged():
        assert (backend.staging() / name).read_bytes() == (backend.staging("calm") / name).read_bytes()
    with backend.instance() as instance:
        (check,) = in_process("verify", "delta", instance).get_asset_check_evaluations()
    assert check.passed


def test_a_killed_build_step_is_retried_and_builds_no_car_twice(backend: Backend) -> None:
    count = 150
    backend.define(target=backend.folder(files=tiny_files(count)), load_type="serial")
    plan_small(backend.catalog, "delta", 3100)
    with started(backend, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(backend.cars()) > 3, alive=[run])
        workers = events(backend, runs(backend)[0].run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
        (pid,) = [event.pid for event in workers if "build_batch" in (event.step_key or "")]
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        left = count - len(backend.cars())
        assert run.wait() == 0
    assert left > 0, "the step was done before it was killed"
    assert runs(backend)[0].status == dg.DagsterRunStatus.SUCCESS
    assert events(backend, runs(backend)[0].run_id, dg.DagsterEventType.STEP_RESTARTED)
    assert set(builds(backend).values()) == {1}
    assert len(builds(backend)) == count
    build_undisturbed(backend)
    assert_whole(backend, count)


@pytest.mark.parametrize(
    ("load_type", "count"), [("serial", 100), pytest.param("blitz", 300, marks=pytest.mark.slow)]
)
def test_a_killed_step_and_a_killed_run_of_a_generated_project_lose_nothing(
    sqlite: Backend, load_type: str, count: int
) -> None:
    target = sqlite.folder(files=tiny_files(count))
    sqlite.define(target=target, load_type=load_type, car_storage="generated")
    plan_small(sqlite.catalog, "delta", 3100)
    with started(sqlite, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(sqlite.cars()) > 3, alive=[run])
        workers = events(sqlite, runs(sqlite)[0].run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
        os.kill(
            next(event.pid for event in workers if "build_batch" in (event.step_key or "")), signal.SIGKILL
        )
        reached = len(sqlite.cars()) + 3
        wait_until(lambda: len(sqlite.cars()) > reached, alive=[run])
        kill_group(run)
    assert len(sqlite.cars()) < count, "the run was done before it was killed"
    sqlite.execute("blitz")
    build_undisturbed(sqlite)
    assert len(sqlite.cars()) == count
    assert sqlite.cars() == sqlite.cars("calm")
    assert sqlite.staged() == {OUTLINES}
    outlines = {name.replace(".car", ".outline") for name in sqlite.cars()}
    assert set(os.listdir(sqlite.staging() / OUTLINES / "delta")) == outlines
    for row in cars.rows(sqlite.catalog, "delta"):
        with stored_cars.by_number(sqlite.catalog, "delta", row.number).open() as car:
            assert car.read(0, car.size) == (sqlite.staging("calm") / row.file_name).read_bytes()
    with sqlite.instance() as instance:
        (check,) = in_process("verify", "delta", instance).get_asset_check_evaluations()
    assert check.passed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_runs_killed_at_any_point_lose_nothing(backend: Backend, seed: int) -> None:
    chance = random.Random(seed)
    early, late = tiny_files(8), {f"later/{name}": data * 2 for name, data in tiny_files(20).items()}
    backend.define(target=backend.folder(files=early))
    plan_small(backend.catalog, "delta", 3100)
    backend.define("calm", backend.root / "data")
    plan_small(backend.catalog, "calm", 3100)
    backend.folder(files=late)  # so that scan and containerize have work too
    with backend.instance() as instance:
        in_process("onboard", "calm", instance)
    expected = backend.cars("calm")
    for kill in range(6):
        known = len(runs(backend))
        point = chance.randint(1, 90)
        with started(backend, *execute_arguments("onboard", "delta")) as run:

            def reached(run=run, known=known, point=point) -> bool:  # type: ignore[no-untyped-def]
                new = runs(backend)[: len(runs(backend)) - known]
                return run.poll() is not None or (bool(new) and len(events(backend, new[0].run_id)) >= point)

            wait_until(reached)
            if kill % 2:
                kill_group(run)
            else:  # its steps live on for a while, beside the next run
                run.kill()
                run.wait()
            for one in runs(backend):
                succeeded = (
                    one.status == dg.DagsterRunStatus.SUCCESS and one.tags.get("dagster/partition") == "delta"
                )
                assert not succeeded or backend.cars() == expected
    backend.execute("onboard")
    assert runs(backend)[0].status == dg.DagsterRunStatus.SUCCESS
    assert_whole(backend, len(expected))
    assert set(builds(backend)) == {f"delta|{number:06d}" for number in range(len(expected))}


def test_a_run_that_lost_steps_cannot_succeed(sqlite: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(4)))
    plan_small(sqlite.catalog, "delta", 3100)
    fewer = {"pending": lambda *arguments: blitz.pending(*arguments)[:2]}
    monkeypatch.setattr("ptolemy_dagster.assets.cars.blitz", SimpleNamespace(**vars(blitz) | fewer))
    with sqlite.instance() as instance:
        result = in_process("blitz", "delta", instance, raise_on_error=False)
    assert not result.success
    assert len(sqlite.cars()) == 2


def test_two_blitzes_at_once_build_each_car_once(backend: Backend) -> None:
    count = 5
    backend.define(target=backend.folder(files=tiny_files(count)))
    plan_small(backend.catalog, "delta", 3100)
    arguments = execute_arguments("blitz", "delta")
    with started(backend, *arguments) as one, started(backend, *arguments) as other:
        assert (one.wait(), other.wait()) == (0, 0)
    assert set(builds(backend).values()) == {1}
    build_undisturbed(backend)
    assert_whole(backend, count)


def test_an_event_that_died_with_its_worker_is_recorded_by_the_next_run(sqlite: Backend) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(3)))
    plan_small(sqlite.catalog, "delta", 3100)
    blitz.build_container(sqlite.catalog, "delta", 1)  # a receipt without an event
    with sqlite.instance() as instance:
        in_process("blitz", "delta", instance)
    assert builds(sqlite) == {f"delta|{number:06d}": 1 for number in range(3)}


def test_a_leftover_part_file_is_built_over(sqlite: Backend) -> None:
    sqlite.define(target=sqlite.folder(files=tiny_files(2)))
    plan_small(sqlite.catalog, "delta", 3100)
    (sqlite.staging() / ".delta-000001.car.part").write_bytes(bytes(99_999))
    with sqlite.instance() as instance:
        in_process("blitz", "delta", instance)
    build_undisturbed(sqlite)
    assert_whole(sqlite, 2)
