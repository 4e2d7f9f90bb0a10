"""Two hosts at the ends of cables: one is cut off in the middle of a blitz, without a word to anybody."""

import dataclasses
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest

from tests.machines import hosts
from tests.machines.cluster import building, joined, machine, scheduler
from tests.machines.hosts import Host
from tests.pipeline import fixtures
from tests.pipeline import postgres as server
from tests.pipeline.backend import Backend, execute_arguments, plan_small, tiny_files
from tests.pipeline.processes import builds, runs, started, wait_until
from tests.pipeline.test_failures import assert_whole, build_undisturbed

COUNT = 5
reason = hosts.why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(reason is not None, reason=str(reason))]


@pytest.fixture
def pair() -> Iterator[list[Host]]:
    with hosts.hosts("left", "right") as made:
        yield made


@pytest.fixture
def home(pair: list[Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """A clean home, on a Postgres that the hosts reach."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        rules = Path(folder) / "hba.conf"
        rules.write_text(f"host all all 127.0.0.1/32 trust\nhost all all {hosts.NETWORK} trust\n")
        os.chmod(folder, 0o755)
        monkeypatch.setitem(server._SETTINGS, "hba_file", str(rules))
        monkeypatch.setitem(server._SETTINGS, "listen_addresses", "*")
        postgres = stack.enter_context(server.running())
        made = fixtures.entered(tmp_path, postgres.database(), monkeypatch)
        yield made
        made.close()


def test_the_cars_of_a_host_that_is_cut_off_are_built_elsewhere(
    home: Backend, pair: list[Host], record_property: Callable[[str, object], None]
) -> None:
    home.define(target=home.folder(files=tiny_files(COUNT)))
    plan_small(home.catalog, "delta", 3100)
    left, right = pair
    hold = home.root / "hold"
    hold.touch()
    with scheduler(home, "0.0.0.0") as there:
        address = re.sub(r"//[\d.]+:", "//127.0.0.1:", there.env["PTOLEMY_SCHEDULER"])
        orchestrator = dataclasses.replace(there, env={**there.env, "PTOLEMY_SCHEDULER": address})
        with (
            machine(orchestrator, "left", "-n", "1", host=left, hold=hold) as lost,
            started(orchestrator, *execute_arguments("blitz", "delta")) as run,
        ):
            wait_until(lambda: building(home, lost), alive=[run, lost])
            (taken,) = building(home, lost)
            assert taken.host == "left"
            with machine(orchestrator, "right", "-n", "1", host=right) as kept:
                wait_until(lambda: len(home.cars()) >= 1, alive=[run, lost, kept])
                before = time.monotonic()
                left.cut()
                wait_until(
                    lambda: any(one.container == taken.container for one in building(home, kept)),
                    alive=[run, kept],
                )
                record_property("seconds until taken over", round(time.monotonic() - before, 1))
                wait_until(lambda: run.poll() is not None, alive=[kept])
                record_property("seconds until built elsewhere", round(time.monotonic() - before, 1))
                assert run.returncode == 0
                left.mend()
                wait_until(lambda: joined(home.root / "left") == 2, alive=[lost])
                assert not building(home, lost)
    assert runs(home)[0].status == dg.DagsterRunStatus.SUCCESS
    assert builds(home) == {f"delta|{number:06d}": 1 for number in range(COUNT)}
    build_undisturbed(home)
    assert_whole(home, COUNT)
