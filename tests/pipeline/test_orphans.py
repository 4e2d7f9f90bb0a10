"""A step whose run was killed ends by itself, and so does a run whose command was killed: nothing burns on."""

import os
import signal

import dagster as dg
import pytest

from ptolemy_core.stages.reservation import build_lock
from tests.pipeline.backend import Backend, execute_arguments, plan_small, tiny_files
from tests.pipeline.processes import events, runs, started, started_python, wait_until
from tests.pipeline.test_disturbances import is_gone

CODE = "from ptolemy_dagster.cli import main; main()"


def waiting_step(backend: Backend) -> int:
    """The process of the step that waits for the first CAR's lock, which the test holds."""
    found = runs(backend)
    if not found:
        return 0
    workers = events(backend, found[0].run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
    pids = [event.pid for event in workers if "build_batch" in (event.step_key or "")]
    return pids[0] or 0 if pids else 0


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def planned(sqlite: Backend) -> Backend:
    """A project of two containers: one small one would be built in the run's own process."""
    sqlite.define(target=sqlite.folder(files=tiny_files(2)))
    plan_small(sqlite.catalog, "delta", 3100)
    return sqlite


def test_a_step_whose_run_was_killed_ends(planned: Backend) -> None:
    with (
        planned.catalog.lock(build_lock("delta", 0)),
        started(planned, *execute_arguments("blitz", "delta")) as run,
    ):
        wait_until(lambda: waiting_step(planned), alive=[run])
        step = waiting_step(planned)
        assert exists(step)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        wait_until(lambda: not exists(step))
        wait_until(lambda: is_gone(run.pid))  # the forkserver too


def test_the_run_of_a_command_that_was_killed_ends_with_its_steps(planned: Backend) -> None:
    with (
        planned.catalog.lock(build_lock("delta", 0)),
        started_python(planned, "-c", CODE, "blitz", "delta", "--json") as command,
    ):
        wait_until(lambda: waiting_step(planned), alive=[command])
        step = waiting_step(planned)
        os.kill(command.pid, signal.SIGKILL)
        command.wait()
        wait_until(lambda: not exists(step))
        wait_until(lambda: runs(planned)[0].is_finished)


def test_a_small_build_in_the_process_of_its_run_ends_with_a_command_that_is_interrupted(
    sqlite: Backend,
) -> None:
    sqlite.define()
    for job in "scan", "containerize":
        sqlite.execute(job)
    with (
        sqlite.catalog.lock(build_lock("delta", 0)),
        started_python(sqlite, "-c", CODE, "blitz", "delta", "--json") as command,
    ):
        wait_until(lambda: builds_in_run(sqlite), alive=[command])
        os.kill(command.pid, signal.SIGTERM)
        assert command.wait() == 143
    (run,) = [run for run in runs(sqlite) if run.job_name == "blitz"]
    assert run.is_finished
    assert not events(sqlite, run.run_id, dg.DagsterEventType.STEP_RESTARTED)
    sqlite.execute("blitz")
    assert len(sqlite.cars()) == 1


def builds_in_run(backend: Backend) -> bool:
    """Whether the build of the newest run has begun, in no process of its own."""
    (run, *_) = runs(backend)
    begun = events(backend, run.run_id, dg.DagsterEventType.STEP_START)
    assert not events(backend, run.run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
    return any("build_batch" in (event.step_key or "") for event in begun)
