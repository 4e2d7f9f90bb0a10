"""How fast CARs are built: of a blitz under way, and of the CARs that stand."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import Task
from ptolemy_core.sizes import duration, readable
from ptolemy_core.stages.status import Standing

_PAUSE = 600.0
"""Seconds without any build that end a spell of building."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Work under way.

    Attributes:
        done, total: bytes of CARs, those of all builds under way included.
        rate: bytes a second of all builds together; 0 if none is under way.
    """

    done: int
    total: int
    rate: float

    @property
    def share(self) -> float:
        """done of total, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """What is left at this rate; None if nothing is under way."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


def blitz_pace(standing: Standing) -> Pace:
    """The pace of a project's blitz."""
    under_way = sum(task.done for task in standing.tasks if task.task.startswith("build "))
    done = min(standing.built_bytes + under_way, standing.car_bytes)
    return Pace(done, standing.car_bytes, standing.rate)


def said(pace: Pace) -> str:
    """A pace in a line: "41%, 1 h 12 min left, 812 MiB/s, 3.2 TiB in all"."""
    rate = ""
    if pace.seconds_left is not None:
        rate = f"{duration(pace.seconds_left)} left, {readable(pace.rate)}/s, "
    return f"{percent(pace.share)}, {rate}{readable(pace.total)} in all"


def percent(share: float) -> str:
    """A share of 1 in whole percent; 100% only when it is all."""
    return f"{math.floor(100 * share)}%"


def task_said(task: Task) -> str:
    """How far a task is: a scan in entries, as its end isn't known; all else in bytes."""
    rate = task.done / max(task.updated_at - task.started_at, 1e-3)
    if task.total is None:
        return f"{task.done:,} entries, {rate:,.0f} entries/s"
    return said(Pace(task.done, task.total, rate))


@dataclass(frozen=True, slots=True)
class Spell:
    """A spell of building without a long pause: bytes a second in even steps of time.

    Attributes:
        start: seconds since 1970.
        seconds: of it all.
        rates: bytes a second in each step.
    """

    start: float
    seconds: float
    rates: NDArray[np.float64]


def last_spell(cars: Sequence[CarRow], steps: int = 60) -> Spell | None:
    """The last spell in which these CARs were built; None if there is no CAR.

    A CAR's bytes count evenly over its build, so parallel builds add up.
    """
    if not cars:
        return None
    stops = np.array([car.built_at for car in cars])
    starts = stops - np.maximum([car.build_seconds for car in cars], 1e-3)
    sizes = np.array([car.car_size for car in cars], dtype=np.float64)
    order = np.argsort(starts)
    reached = np.maximum.accumulate(stops[order])
    breaks = np.nonzero(starts[order][1:] > reached[:-1] + _PAUSE)[0]
    kept = order[breaks[-1] + 1 :] if len(breaks) else order
    starts, stops, sizes = starts[kept], stops[kept], sizes[kept]
    start, stop = float(starts.min()), float(stops.max())
    edges = np.linspace(start, stop, steps + 1)
    # bytes done up to each edge, of all CARs: each is a ramp from its start to its stop
    speeds = sizes / (stops - starts)
    total = np.array([np.sum(speeds * np.clip(edge - starts, 0, stops - starts)) for edge in edges])
    return Spell(start, stop - start, np.diff(total) * steps / (stop - start))
