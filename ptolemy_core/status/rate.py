"""Progress and rate of work under way: of a blitz as a whole, and of single tasks."""

import math
from dataclasses import dataclass

from ptolemy_core.catalog.progress import RunningTask
from ptolemy_core.sizes import counted, duration, readable
from ptolemy_core.status.state import ProjectState


@dataclass(frozen=True, slots=True)
class Progress:
    """Work under way.

    Attributes:
        done, total: in bytes, or in entries; total is None where the end isn't known.
        rate: the same a second; 0 if nothing is under way.
    """

    done: int
    total: int | None
    rate: float

    @property
    def share(self) -> float:
        """done of total, 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """What is left at this rate; None if nothing is under way, or its end isn't known."""
        if self.total is None or self.rate <= 0:
            return None
        return max(0, self.total - self.done) / self.rate


def rate(done: int, seconds: float) -> float:
    """Done a second."""
    return done / max(seconds, 1e-3)


def blitz_progress(state: ProjectState) -> Progress:
    """How far a project's CARs are: those built, and those under way."""
    under_way = sum(task.done for task in state.tasks if task.is_build)
    done = min(state.built_bytes + under_way, state.car_bytes)
    return Progress(done, state.car_bytes, state.rate if done < state.car_bytes else 0.0)


def task_progress(task: RunningTask) -> Progress:
    """How far a task is."""
    return Progress(task.done, task.total, rate(task.done, task.updated_at - task.started_at))


def describe(progress: Progress) -> str:
    """Progress in bytes in a line: "41%, 1 h 12 min left, 812 MiB/s, 3.2 TiB in all"."""
    moving = ""
    if progress.seconds_left is not None:
        moving = f"{duration(progress.seconds_left)} left, {readable(progress.rate)}/s, "
    return f"{percent(progress.share)}, {moving}{readable(progress.total or 0)} in all"


def percent(share: float) -> str:
    """A share of 1 in whole percent; 100% only when it is all."""
    return f"{math.floor(100 * share)}%"


def describe_task(task: RunningTask) -> str:
    """How far a task is, in a line: in bytes, or in entries where the end isn't known."""
    progress = task_progress(task)
    if task.total is None:
        return f"{counted(task.done, 'entry', 'entries')}, {progress.rate:,.0f} entries/s"
    return describe(progress)
