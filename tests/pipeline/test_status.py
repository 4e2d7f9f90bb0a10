"""A project's status: from the catalog and Dagster's runs, in words, and never stale."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
import pytest

from ptolemy_core.errors import PlanError, UnknownProjectError
from ptolemy_dagster.definitions import defs
from ptolemy_dagster.liveness import HOST_TAG, PID_TAG
from ptolemy_dagster.status import project_status
from tests.pipeline.backend import Backend, in_process


@pytest.fixture
def project(backend: Backend) -> Iterator[Callable[[], str]]:
    """Project delta, two small files; call it for its status."""
    backend.define()
    with backend.instance() as instance:
        yield lambda: project_status(backend.catalog, instance, "delta").text


def run(backend: Backend, job: str) -> bool:
    with backend.instance() as instance:
        return in_process(job, "delta", instance, raise_on_error=False).success


def test_statuses_follow_the_stages(backend: Backend, project: Callable[[], str]) -> None:
    assert project() == "defined"
    for job, text in (
        ("scan", "scan completed"),
        ("containerize", "containerization complete"),
        ("blitz", "blitz complete"),
        ("scan", "blitz complete"),  # it found nothing new
        ("verify", "blitz complete"),
    ):
        assert run(backend, job)
        assert project() == text, job
    (backend.root / "data" / "new.txt").write_bytes(b"new")
    assert run(backend, "scan")
    assert project() == "scan completed"
    assert run(backend, "onboard")
    assert project() == "blitz complete"


def test_an_unknown_project_has_no_status(sqlite: Backend) -> None:
    with sqlite.instance() as instance, pytest.raises(UnknownProjectError, match="no project 'nemo'"):
        project_status(sqlite.catalog, instance, "nemo")


@contextmanager
def held(backend: Backend, job: str, monkeypatch: pytest.MonkeyPatch, target: str) -> Iterator[None]:
    """A job that stands still where it calls `target`, until the block ends."""
    module, _, name = target.rpartition(".")
    real = getattr(sys.modules[module], name)
    reached, go_on = threading.Event(), threading.Event()

    def hold(*arguments: Any, **named: Any) -> Any:
        reached.set()
        assert go_on.wait(60)
        return real(*arguments, **named)

    monkeypatch.setattr(target, hold)
    thread = threading.Thread(target=run, args=(backend, job))
    thread.start()
    try:
        assert reached.wait(60)
        yield
    finally:
        go_on.set()
        thread.join(60)


@pytest.mark.parametrize(
    ("job", "target", "before", "during", "after"),
    [
        ("scan", "ptolemy_core.stages.scan.open_target", [], "executing scan", "scan completed"),
        (
            "containerize",
            "ptolemy_core.stages.containerize.plan_batches",
            ["scan"],
            "executing containerization",
            "containerization complete",
        ),
        (
            "blitz",
            "ptolemy_core.stages.build_job.build_car",
            ["scan", "containerize"],
            "executing blitz",
            "blitz complete",
        ),
        ("onboard", "ptolemy_core.stages.build_job.build_car", [], "executing blitz", "blitz complete"),
        (
            "onboard",
            "ptolemy_core.stages.verify_job.verify_car",
            [],
            "executing verification",
            "blitz complete",
        ),
    ],
)
def test_a_running_stage_is_executing(
    sqlite: Backend,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    target: str,
    before: list[str],
    during: str,
    after: str,
) -> None:
    sqlite.define()
    for stage in before:
        assert run(sqlite, stage)
    with sqlite.instance() as instance:
        with held(sqlite, job, monkeypatch, target):
            assert project_status(sqlite.catalog, instance, "delta").text == during
        assert project_status(sqlite.catalog, instance, "delta").text == after


def test_a_failed_stage_says_so_until_it_is_run_again(
    backend: Backend, project: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, away = backend.root / "data", backend.root / "away"
    data.rename(away)
    assert not run(backend, "scan")
    assert project() == "scan failed"
    away.rename(data)
    assert run(backend, "scan")
    assert project() == "scan completed"

    def refuse(*_: object) -> None:
        raise PlanError("no container can hold it")

    with monkeypatch.context() as patched:
        patched.setattr("ptolemy_core.stages.containerize.plan_batches", refuse)
        assert not run(backend, "containerize")
    assert project() == "containerization failed"
    assert run(backend, "containerize")
    (data / "a.txt").write_bytes(b"changed")
    assert not run(backend, "blitz")
    assert project() == "blitz failed"
    assert run(backend, "onboard")
    assert project() == "blitz complete"
    (name,) = backend.cars()
    (backend.staging() / name).write_bytes(b"not a CAR")
    assert not run(backend, "verify")
    assert project() == "verification failed"


def recorded(
    backend: Backend, instance: dg.DagsterInstance, job: str, status: dg.DagsterRunStatus, **tags: str
) -> dg.DagsterRun:
    """A run as Dagster would have recorded it."""
    return instance.create_run_for_job(
        defs.resolve_job_def(job), tags={"dagster/partition": "delta"} | tags, status=status
    )


@pytest.mark.parametrize(
    ("job", "status", "text"),
    [
        ("scan", dg.DagsterRunStatus.NOT_STARTED, "waiting for scan"),
        ("containerize", dg.DagsterRunStatus.CANCELED, "containerization canceled"),
        ("blitz", dg.DagsterRunStatus.FAILURE, "blitz failed"),
    ],
)
def test_runs_of_dagster_give_the_status(
    backend: Backend, job: str, status: dg.DagsterRunStatus, text: str
) -> None:
    backend.define()
    with backend.instance() as instance:
        made = recorded(backend, instance, job, status)
        found = project_status(backend.catalog, instance, "delta")
    assert (found.text, found.run_id) == (text, made.run_id)


def test_a_run_is_executing_while_its_process_lives_and_failed_after(backend: Backend) -> None:
    backend.define()
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        with backend.instance() as instance:
            tags = {HOST_TAG: os.uname().nodename, PID_TAG: str(process.pid)}
            recorded(backend, instance, "blitz", dg.DagsterRunStatus.STARTED, **tags)
            assert project_status(backend.catalog, instance, "delta").text == "executing blitz"
            process.kill()
            process.wait()
            assert project_status(backend.catalog, instance, "delta").text == "blitz failed"
            assert in_process("scan", "delta", instance).success
            assert project_status(backend.catalog, instance, "delta").text == "scan completed"
    finally:
        process.kill()
        process.wait()


def test_a_killed_run_without_a_known_process_stops_executing(
    sqlite: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite.define()
    with sqlite.instance() as instance:
        recorded(sqlite, instance, "scan", dg.DagsterRunStatus.STARTED)
        assert project_status(sqlite.catalog, instance, "delta").text == "executing scan"
        monkeypatch.setattr("ptolemy_dagster.alive.STALE", 0.0)
        assert project_status(sqlite.catalog, instance, "delta").text == "scan failed"
