"""What goes away under a run: target folder, database, and the person who cancels it. It goes on later."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.outage import PATIENCE
from ptolemy_dagster.instance import open_instance, prepare_home
from ptolemy_dagster.liveness import worker_lives
from tests.pipeline import postgres as server
from tests.pipeline.backend import Backend, environment, execute_arguments, in_process, plan_small, tiny_files
from tests.pipeline.processes import builds, runs, started, started_command, wait_until

COUNT = 150
_MAIN = "from ptolemy_dagster.cli import main; main()"


@pytest.fixture
def restartable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[server.Postgres, Backend]]:
    """A home on a Postgres that this test alone stops and starts."""
    with server.running() as own:
        env = environment(tmp_path, own.database())
        for name in ("DAGSTER_HOME", "PTOLEMY_PG_URL", "PTOLEMY_BUILD_PROCESSES"):
            monkeypatch.setenv(name, env[name])
        prepare_home()
        backend = Backend(tmp_path, env)
        yield own, backend
        backend.close()


def prepared(backend: Backend, count: int = COUNT) -> Path:
    """Project `delta` with so many containers planned; returns its target folder."""
    target = backend.folder(files=tiny_files(count))
    backend.define(target=target, load_type="serial")
    plan_small(backend.catalog, "delta", 3100)
    return target


def goes_on(backend: Backend, count: int = COUNT) -> None:
    """Run again: all CARs are there, each was recorded as built once, and nothing half-built is left."""
    before = {row: (backend.staging() / row).stat().st_ino for row in backend.cars()}
    with backend.instance() as instance:
        in_process("blitz", "delta", instance)
    assert len(backend.cars()) == count
    assert backend.staged() == backend.cars().keys()
    assert {row: (backend.staging() / row).stat().st_ino for row in before} == before
    assert set(builds(backend)) == {f"delta|{number:06d}" for number in range(count)}


def test_a_target_folder_that_goes_away_in_a_blitz_is_named_and_the_blitz_goes_on_later(
    sqlite: Backend,
) -> None:
    target = prepared(sqlite)
    away = target.with_name("away")
    with started(sqlite, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(sqlite.cars()) > 3, alive=[run])
        target.rename(away)
        assert run.wait() != 0
    (sqlite_run,) = runs(sqlite)
    assert sqlite_run.status == dg.DagsterRunStatus.FAILURE
    with sqlite.instance() as instance:
        failures = instance.all_logs(sqlite_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    said = [
        f.dagster_event.step_failure_data.user_failure_data.description for f in failures if f.dagster_event
    ]
    assert str(target) in said[0]
    assert "No such file or directory" in said[0]
    assert 3 < len(sqlite.cars()) < COUNT
    assert sqlite.staged() == sqlite.cars().keys()
    away.rename(target)
    goes_on(sqlite)


def test_a_target_folder_that_is_away_fails_the_scan_and_forgets_nothing(sqlite: Backend) -> None:
    target = prepared(sqlite, 3)
    target.rename(target.with_name("away"))
    with sqlite.instance() as instance:
        result = in_process("scan", "delta", instance, raise_on_error=False)
    assert not result.success
    target.with_name("away").rename(target)
    goes_on(sqlite, 3)


@pytest.mark.slow
def test_a_blitz_outlasts_a_restart_of_postgres(restartable: tuple[server.Postgres, Backend]) -> None:
    own, backend = restartable
    prepared(backend)
    with started(backend, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(backend.cars()) > 3, alive=[run])
        own.kill()
        own.start()
        left = COUNT - len(backend.cars())
        assert run.wait() == 0
    assert left > 0, "the blitz was done before the server was killed"
    assert runs(backend)[0].status == dg.DagsterRunStatus.SUCCESS
    assert set(builds(backend).values()) == {1}
    goes_on(backend)


@pytest.mark.slow
def test_a_blitz_whose_postgres_stays_away_ends_by_naming_it_and_goes_on_later(
    restartable: tuple[server.Postgres, Backend],
) -> None:
    own, backend = restartable
    prepared(backend)
    hasty = Backend(backend.root, {**backend.env, PATIENCE: "1"})
    with started(hasty, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(backend.cars()) > 3, alive=[run])
        own.stop()
        code = run.wait()
        own.start()
    assert code != 0
    assert "didn't answer for 1 s" in (backend.root / "process.log").read_text()
    assert len(backend.cars()) < COUNT, "the blitz was done before the server was stopped"
    goes_on(backend)


def test_a_command_without_its_postgres_says_which_and_what_to_do(
    restartable: tuple[server.Postgres, Backend],
) -> None:
    own, backend = restartable
    prepared(backend, 1)
    own.stop()
    code = "from ptolemy_dagster.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "status"],
        env={**backend.env, PATIENCE: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    own.start()
    assert done.returncode == 1
    assert "Postgres at 127.0.0.1:" in done.stderr
    assert "start it or check PTOLEMY_PG_URL" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_a_canceled_blitz_leaves_nothing_half_built_and_goes_on_later(sqlite: Backend, end: int) -> None:
    prepared(sqlite)
    with started(sqlite, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(sqlite.cars()) > 3, alive=[run])
        os.kill(run.pid, end)
        run.wait()
    wait_until(lambda: sqlite.staged() == sqlite.cars().keys())
    assert len(sqlite.cars()) < COUNT, "the blitz was done before it was canceled"
    goes_on(sqlite)


def is_gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("end", "ignored", "code"),
    [("INT", "", 130), ("TERM", "", 143), ("TERM", "INT", 143), ("HUP", "", 129)],
)
def test_a_command_that_is_told_to_end_takes_its_run_along(
    sqlite: Backend, end: str, ignored: str, code: int
) -> None:
    prepared(sqlite)
    main = "from ptolemy_dagster.cli import main; main()"
    script = (
        f'trap "" {ignored}; exec "$0" -c "{main}" blitz delta'  # as a shell starts what it doesn't wait for
    )
    with started_command(sqlite, "sh", "-c", script, sys.executable) as command:
        wait_until(lambda: len(sqlite.cars()) > 3, alive=[command])
        os.kill(command.pid, getattr(signal, f"SIG{end}"))
        assert command.wait() == code
        wait_until(lambda: is_gone(command.pid))
    assert "interrupted; run again to resume" in (sqlite.root / "process.log").read_text()
    assert sqlite.staged() == sqlite.cars().keys()
    assert len(sqlite.cars()) < COUNT, "the blitz was done before it was told to end"
    assert runs(sqlite)[0].is_finished
    goes_on(sqlite)


def test_a_run_whose_command_was_killed_ends_by_itself(sqlite: Backend) -> None:
    prepared(sqlite)
    with started_command(sqlite, sys.executable, "-c", _MAIN, "blitz", "delta") as command:
        wait_until(lambda: len(sqlite.cars()) > 3, alive=[command])
        os.kill(command.pid, signal.SIGKILL)
        command.wait()
        wait_until(lambda: not processes_of(sqlite.root))
    assert sqlite.staged() == sqlite.cars().keys()
    assert len(sqlite.cars()) < COUNT, "the blitz was done before it was killed"
    goes_on(sqlite)


def test_steps_whose_run_was_killed_end_by_themselves(sqlite: Backend) -> None:
    prepared(sqlite)
    with started(sqlite, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(sqlite.cars()) > 3, alive=[run])
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        wait_until(lambda: not processes_of(sqlite.root))
    assert len(sqlite.cars()) < COUNT, "the blitz was done before it was killed"
    goes_on(sqlite)


def processes_of(root: Path) -> list[int]:
    """Other processes whose home is below a folder."""
    home = b"DAGSTER_HOME=" + os.fsencode(root)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with suppress(OSError):
                if any(
                    one.startswith(home) for one in Path("/proc", name, "environ").read_bytes().split(b"\0")
                ):
                    found.append(int(name))
    return found


def test_a_run_is_alive_while_its_worker_is(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ptolemy_dagster.liveness._GRACE", 1.0)
    prepared(backend)
    with started(backend, *execute_arguments("blitz", "delta")) as run:
        wait_until(lambda: len(backend.cars()) > 3, alive=[run])
        run_id = runs(backend)[0].run_id
        assert worker_lives(Catalog(), run_id)
        started_run = runs(backend)[0]
        with open_instance() as instance:
            launcher = instance.run_launcher
            assert launcher.supports_check_run_worker_health
            assert launcher.check_run_worker_health(started_run).status.value == "RUNNING"
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        assert not worker_lives(Catalog(), run_id)
        with open_instance() as instance:
            health = instance.run_launcher.check_run_worker_health(started_run)
            assert health.status.value == "NOT_FOUND"
