"""A blitz on two workers that share folders and database, and what is lost with one of them: nothing."""

import os
import signal
import subprocess

import dagster as dg
import pytest

from tests.machines.cluster import building, machine, scheduler
from tests.pipeline.backend import Backend, execute_arguments, plan_small, tiny_files
from tests.pipeline.processes import builds, events, runs, started, wait_until
from tests.pipeline.test_failures import assert_generated, assert_whole, build_undisturbed

COUNT = 12


def define(home: Backend, count: int, **settings: str) -> None:
    """A project of so many containers."""
    home.define(target=home.folder(files=tiny_files(count)), **settings)
    plan_small(home.catalog, "delta", 3100)


def builds_third(home: Backend, process: "subprocess.Popen[bytes]") -> bool:
    return any(worker.container == 3 for worker in building(home, process))


@pytest.mark.slow
@pytest.mark.parametrize("car_storage", ["staged", "generated"])
def test_a_worker_killed_in_the_middle_of_a_blitz_takes_no_car_with_it(
    home: Backend, car_storage: str
) -> None:
    define(home, COUNT, car_storage=car_storage)
    with (
        scheduler(home) as orchestrator,
        machine(orchestrator, "one", "-n", "1") as one,
        machine(orchestrator, "two", "-n", "1") as two,
        started(orchestrator, *execute_arguments("blitz", "delta")) as run,
    ):
        with home.catalog.lock("build delta 3"):  # so that a build is surely under way when its machine dies
            wait_until(lambda: builds_third(home, one) or builds_third(home, two), alive=[run, one, two])
            victim, other = (one, two) if builds_third(home, one) else (two, one)
            os.kill(victim.pid, signal.SIGKILL)
            wait_until(lambda: builds_third(home, other), alive=[run, other])
            assert len(home.cars()) < COUNT
        assert run.wait() == 0
    run_id = runs(home)[0].run_id
    assert runs(home)[0].status == dg.DagsterRunStatus.SUCCESS
    said = [event.message for event in events(home, run_id, dg.DagsterEventType.ENGINE_EVENT)]
    assert any("left or was lost" in (text or "") for text in said)
    assert builds(home) == {f"delta|{number:06d}": 1 for number in range(COUNT)}
    build_undisturbed(home)
    (assert_whole if car_storage == "staged" else assert_generated)(home, COUNT)


@pytest.mark.slow
def test_builds_of_a_run_that_is_stopped_end_on_the_workers(home: Backend) -> None:
    define(home, 2)
    hold = home.root / "hold"
    hold.touch()
    with (
        scheduler(home) as orchestrator,
        machine(orchestrator, "one", "-n", "1", hold=hold) as one,
        started(orchestrator, *execute_arguments("blitz", "delta")) as run,
    ):
        wait_until(lambda: building(home, one), alive=[run, one])
        run.send_signal(signal.SIGINT)
        run.wait()
        wait_until(lambda: not building(home, one), alive=[one])
        assert home.cars() == {}
        hold.unlink()
        with started(orchestrator, *execute_arguments("blitz", "delta")) as again:
            assert again.wait() == 0
    assert len(home.cars()) == 2
    assert home.staged() == home.cars().keys()  # what the ended builds left half done is gone
