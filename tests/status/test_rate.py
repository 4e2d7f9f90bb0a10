"""How fast CARs are built, and how it is said."""

import dataclasses

import pytest

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import RunningTask, Task, Work
from ptolemy_core.sizes import duration
from ptolemy_core.status.builds import last_build_period
from ptolemy_core.status.rate import Progress, blitz_progress, describe, describe_task
from ptolemy_core.status.state import ProjectState

MIB = 1 << 20


def car(number: int, size: int, start: float, stop: float) -> CarRow:
    """A CAR built from `start` to `stop`, seconds since 1970."""
    built = (size, size, None, stop, stop - start)
    return CarRow(number, "delta", number, 1, size, f"{number}.car", b"", b"", b"", *built, None, None, None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (4340, "1 h 12 min"),
        (86400 * 3 + 7200, "3 d 2 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_knows_what_is_left() -> None:
    progress = Progress(done=25 * MIB, total=100 * MIB, rate=5.0 * MIB)
    assert (progress.share, progress.seconds_left) == (0.25, 15.0)
    assert describe(progress) == "25%, 15 s left, 5 MiB/s, 100 MiB in all"


def test_progress_without_a_rate_promises_nothing() -> None:
    progress = Progress(done=0, total=100 * MIB, rate=0.0)
    assert progress.seconds_left is None
    assert describe(progress) == "0%, 100 MiB in all"


def test_100_percent_is_all_of_it() -> None:
    assert describe(Progress(999_999, 1_000_000, 0.0)).startswith("99%")
    assert describe(Progress(1_000_000, 1_000_000, 0.0)).startswith("100%")


def test_a_scan_is_told_in_entries_and_a_build_in_bytes() -> None:
    assert (
        describe_task(RunningTask(Task(Work.SCAN), 12_000, None, 100.0, 104.0))
        == "12,000 entries, 3,000 entries/s"
    )
    assert (
        describe_task(RunningTask(Task(Work.BUILD, 3), MIB, 4 * MIB, 100.0, 101.0))
        == "25%, 3 s left, 1 MiB/s, 4 MiB in all"
    )


def test_a_blitz_counts_what_is_built_and_what_is_under_way() -> None:
    tasks = [
        RunningTask(Task(Work.BUILD, 1), 3, 5, 0.0, 1.0),
        RunningTask(Task(Work.BUILD, 2), 1, 5, 0.0, 1.0),
        RunningTask(Task(Work.VERIFY), 9, 9, 0, 1),
    ]
    state = ProjectState(True, False, 4, 1, 20, 5, tasks, rate=2.0)
    progress = blitz_progress(state)
    assert (progress.done, progress.total, progress.rate, progress.seconds_left) == (9, 20, 2.0, 5.5)
    ahead = dataclasses.replace(state, built_bytes=19)  # a receipt is written before its task is gone
    assert blitz_progress(ahead).done == 20


def test_parallel_builds_add_up_in_a_period() -> None:
    period = last_build_period([car(0, 1000, 0, 10), car(1, 1000, 0, 5), car(2, 1000, 5, 10)], steps=10)
    assert period is not None
    assert (period.start, period.seconds) == (0, 10)
    assert period.rates.tolist() == pytest.approx([300.0] * 10)


def test_a_period_adds_up_to_all_bytes_and_has_gaps() -> None:
    period = last_build_period([car(0, 700, 0, 10), car(1, 300, 90, 100)], steps=10)
    assert period is not None
    assert period.rates.tolist() == pytest.approx([70.0, *[0.0] * 8, 30.0])
    assert period.rates.sum() * 10 == pytest.approx(1000)


def test_only_the_last_build_period_counts() -> None:
    cars = [car(0, 10, 0, 10), car(1, 500, 100_000, 100_005), car(2, 500, 100_005, 100_010)]
    period = last_build_period(cars, steps=2)
    assert period is not None
    assert (period.start, period.seconds) == (100_000, 10)
    assert period.rates.tolist() == pytest.approx([100.0, 100.0])
    assert last_build_period([]) is None


def test_a_long_build_bridges_what_else_would_be_a_pause() -> None:
    period = last_build_period([car(0, 100, 0, 5000), car(1, 100, 10, 20), car(2, 100, 4990, 5000)], steps=5)
    assert period is not None
    assert period.start == 0


def test_one_entry_is_no_plural() -> None:
    assert describe_task(RunningTask(Task(Work.SCAN), 1, None, 100.0, 104.0)).startswith("1 entry, ")
