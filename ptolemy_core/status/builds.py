"""How fast CARs were built: bytes a second over the time of their builds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.catalog.cars import CarRow

_PAUSE = 600.0
"""Seconds without any build that end a period of building."""


@dataclass(frozen=True, slots=True)
class BuildPeriod:
    """A period of building without a long pause: bytes a second in even steps of time.

    Attributes:
        start: seconds since 1970.
        seconds: of it all.
        rates: bytes a second in each step.
    """

    start: float
    seconds: float
    rates: NDArray[np.float64]


def last_build_period(cars: Sequence[CarRow], steps: int = 60) -> BuildPeriod | None:
    """The last period in which these CARs were built; None if there are none.

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
    return BuildPeriod(start, stop - start, np.diff(total) * steps / (stop - start))
