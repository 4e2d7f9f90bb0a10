"""How fast CARs are built, and how it is said."""

import dataclasses

import pytest

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import Task
from ptolemy_core.sizes import duration
from ptolemy_core.stages.pace import Pace, blitz_pace, last_spell, said, task_said
from ptolemy_core.stages.status import Standing

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


def test_a_pace_knows_what_is_left() -> None:
    pace = Pace(done=25 * MIB, total=100 * MIB, rate=5.0 * MIB)
    assert (pace.share, pace.seconds_left) == (0.25, 15.0)
    assert said(pace) == "25%, 15 s left, 5 MiB/s, 100 MiB in all"


def test_a_pace_without_a_rate_promises_nothing() -> None:
    pace = Pace(done=0, total=100 * MIB, rate=0.0)
    assert pace.seconds_left is None
    assert said(pace) == "0%, 100 MiB in all"


def test_100_percent_is_all_of_it() -> None:
    assert said(Pace(999_999, 1_000_000, 0.0)).startswith("99%")
    assert said(Pace(1_000_000, 1_000_000, 0.0)).startswith("100%")


def test_a_scan_is_told_in_entries_and_a_build_in_bytes() -> None:
    assert task_said(Task("scan", 12_000, None, 100.0, 104.0)) == "12,000 entries, 3,000 entries/s"
    assert (
        task_said(Task("build 000003", MIB, 4 * MIB, 100.0, 101.0)) == "25%, 3 s left, 1 MiB/s, 4 MiB in all"
    )


def test_a_blitz_counts_what_is_built_and_what_is_under_way() -> None:
    tasks = [
        Task("build 000001", 3, 5, 0.0, 1.0),
        Task("build 000002", 1, 5, 0.0, 1.0),
        Task("verify", 9, 9, 0, 1),
    ]
    standing = Standing(True, False, 4, 1, 20, 5, tasks, rate=2.0)
    pace = blitz_pace(standing)
    assert (pace.done, pace.total, pace.rate, pace.seconds_left) == (9, 20, 2.0, 5.5)
    ahead = dataclasses.replace(standing, built_bytes=19)  # a receipt is written before its task is gone
    assert blitz_pace(ahead).done == 20


def test_parallel_builds_add_up_in_a_spell() -> None:
    spell = last_spell([car(0, 1000, 0, 10), car(1, 1000, 0, 5), car(2, 1000, 5, 10)], steps=10)
    assert spell is not None
    assert (spell.start, spell.seconds) == (0, 10)
    assert spell.rates.tolist() == pytest.approx([300.0] * 10)


def test_a_spell_adds_up_to_all_bytes_and_has_gaps() -> None:
    spell = last_spell([car(0, 700, 0, 10), car(1, 300, 90, 100)], steps=10)
    assert spell is not None
    assert spell.rates.tolist() == pytest.approx([70.0, *[0.0] * 8, 30.0])
    assert spell.rates.sum() * 10 == pytest.approx(1000)


def test_only_the_last_spell_counts() -> None:
    cars = [car(0, 10, 0, 10), car(1, 500, 100_000, 100_005), car(2, 500, 100_005, 100_010)]
    spell = last_spell(cars, steps=2)
    assert spell is not None
    assert (spell.start, spell.seconds) == (100_000, 10)
    assert spell.rates.tolist() == pytest.approx([100.0, 100.0])
    assert last_spell([]) is None


def test_a_long_build_bridges_what_else_would_be_a_pause() -> None:
    spell = last_spell([car(0, 100, 0, 5000), car(1, 100, 10, 20), car(2, 100, 4990, 5000)], steps=5)
    assert spell is not None
    assert spell.start == 0
