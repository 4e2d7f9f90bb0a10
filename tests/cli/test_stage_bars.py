"""How the stages of a command are shown: numbered, in one unit system, and each to its end."""

import io
import subprocess
from typing import cast

import pytest
from rich.console import Console

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.progress import RunningTask, Task, Work
from ptolemy_core.status.state import ProjectState
from ptolemy_dagster.cli import following, output
from ptolemy_dagster.cli.following import ALL, RunProcess, stages_of
from ptolemy_dagster.cli.stage_bars import Amount, StageBars

MIB = 1 << 20


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is written to standard error, which is no terminal."""
    file = io.StringIO()
    monkeypatch.setattr(output, "err", Console(file=file, width=200, soft_wrap=True, highlight=False))
    return file


def test_an_amount_is_said_in_the_units_of_all_other_output() -> None:
    assert str(Amount(MIB, 4 * MIB, MIB)) == "1 MiB of 4 MiB, 25%, 1 MiB/s, 3 s left"
    assert str(Amount(4 * MIB, 4 * MIB, MIB)) == "4 MiB of 4 MiB, 100%"
    assert str(Amount(1, None, 0.0, is_bytes=False)) == "1 entry"
    assert str(Amount(12_000, None, 3000.0, is_bytes=False)) == "12,000 entries, 3,000/s"
    assert str(Amount(1, 2, note="1 of 2 CARs")) == "1 B of 2 B, 50%, 1 of 2 CARs"
    assert str(Amount()) == ""


def test_without_a_terminal_a_stage_is_said_at_its_start_every_half_minute_and_at_its_end(
    said: io.StringIO,
) -> None:
    clock = Clock()
    with StageBars(["scanning", "planning"], clock) as bars:
        for clock.now in (0.0, 10.0, 29.0, 31.0, 40.0, 62.0):
            bars.show("scanning", Amount(int(clock.now) * 10, None, 10.0, is_bytes=False))
        bars.show("planning", Amount())
        bars.end()
    assert said.getvalue().splitlines() == [
        "[1/2] scanning",
        "[1/2] scanning: 310 entries, 10/s",
        "[1/2] scanning: 620 entries, 10/s",
        "[1/2] scanning done: 620 entries, 1 min 2 s",
        "[2/2] planning",
        "[2/2] planning done: 0 s",
    ]


def test_a_count_that_is_looked_at_now_and_then_is_not_said_to_be_the_whole(said: io.StringIO) -> None:
    with StageBars(["scanning"], Clock()) as bars:
        bars.show("scanning", Amount(22_000, None, 10.0, is_bytes=False, sampled=True))
        bars.finish()
    assert said.getvalue().splitlines()[-1] == "scanning done: 0 s"


def test_a_bar_ends_at_its_total_though_its_last_steps_were_not_seen(said: io.StringIO) -> None:
    with StageBars(["building CARs"], Clock()) as bars:
        bars.show("building CARs", Amount(400, 468))
        bars.finish()
    assert said.getvalue().splitlines()[-1] == "building CARs done: 468 B, 0 s"


def test_a_stage_without_a_byte_to_do_says_so(said: io.StringIO) -> None:
    with StageBars(["building CARs"], Clock()) as bars:
        bars.show("building CARs", Amount(0, 0))
        bars.finish()
    assert said.getvalue().splitlines()[-1] == "building CARs done: nothing to do, 0 s"


def test_stages_that_were_too_quick_to_be_seen_end_in_their_order(said: io.StringIO) -> None:
    with StageBars(ALL, Clock()) as bars:
        bars.show("scanning", Amount())
        bars.show("building CARs", Amount(1, 1))
        bars.show("scanning", Amount())  # old news
        bars.finish()
    ended = [line for line in said.getvalue().splitlines() if " done" in line]
    assert [line.partition(" done")[0] for line in ended] == [
        f"[{number}/6] {name}" for number, name in enumerate(ALL, 1)
    ]


def test_what_a_run_does_is_read_from_its_tasks_and_counted_since_it_began() -> None:
    before = ProjectState(True, False, 4, 1, 400, 100, [])
    tasks = [RunningTask(Task(Work.BUILD, 1), 50, 100, 0.0, 1.0)]
    now = ProjectState(True, False, 4, 2, 400, 200, tasks, rate=10.0)
    (amount,) = stages_of(before, now).values()
    assert (amount.done, amount.total, amount.note) == (150, 300, "2 of 4 CARs")
    verifying = ProjectState(True, False, 1, 1, 1, 1, [RunningTask(Task(Work.VERIFY), 5, 10, 0.0, 1.0)])
    assert list(stages_of(verifying, verifying)) == ["verifying"]


@pytest.mark.parametrize("ok", [True, False])
def test_only_a_run_that_succeeded_has_all_its_stages_done(
    said: io.StringIO, monkeypatch: pytest.MonkeyPatch, ok: bool
) -> None:
    state = ProjectState(True, False, 1, 1, 1, 1, [])
    monkeypatch.setattr(following, "project_state", lambda *_: state)
    with subprocess.Popen(["true"]) as process:  # it ends well even if the run failed
        following.watch(RunProcess(process, lambda: ok), cast(Catalog, None), "onboard", "p", quiet=False)
    assert ("[6/6] manifest done" in said.getvalue()) == ok
    assert ("done" in said.getvalue()) == ok


@pytest.mark.parametrize(("width", "has_bar"), [(80, False), (100, True), (200, True)])
def test_a_narrow_terminal_has_words_and_no_bar(
    monkeypatch: pytest.MonkeyPatch, width: int, has_bar: bool
) -> None:
    file = io.StringIO()
    terminal = Console(file=file, width=width, force_terminal=True, soft_wrap=True, highlight=False)
    monkeypatch.setattr(output, "err", terminal)
    with StageBars(["building CARs"], Clock()) as bars:
        bars.show("building CARs", Amount(MIB, 4 * MIB, MIB, note="1 of 4 CARs"))
    assert ("━" in file.getvalue()) == has_bar
