"""A short round of chaos; `python -m tests.chaos` does long ones."""

from pathlib import Path

import pytest

from ptolemy_core.project import Project
from ptolemy_dagster.instance import prepare_home
from tests.chaos import small, stack
from tests.chaos.__main__ import make_target
from tests.chaos.drive import Driver
from tests.pipeline import postgres
from tests.pipeline.backend import Backend, environment, in_process


@pytest.mark.slow
def test_a_run_that_is_killed_at_random_loses_nothing_and_builds_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Project, "car_bytes", small.car_bytes)
    with postgres.running() as server:
        env = environment(tmp_path, server.database())
        for name in ("DAGSTER_HOME", "PTOLEMY_PG_URL", "PTOLEMY_BUILD_PROCESSES"):
            monkeypatch.setenv(name, env[name])
        prepare_home()
        backend = Backend(tmp_path, env)
        target = make_target(tmp_path / "target", 4)
        backend.define("calm", target)
        with backend.instance() as instance:
            in_process("onboard", "calm", instance)
        with stack.running(backend) as running:
            kinds = ("step", "run worker", "postgres")
            driver = Driver(backend, running, server, target, backend.cars("calm"), seed=3, kinds=kinds)
            driver.round(kills=3)
        backend.close()
    assert driver.tally.problems == []
    assert driver.tally.kills.total() == 3
