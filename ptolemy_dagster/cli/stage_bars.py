"""The stages of a command as they go on: "[2/6] planning". In a terminal a bar each, else a line now and then."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from ptolemy_core.sizes import counted, duration, readable
from ptolemy_core.status.rate import percent
from ptolemy_dagster.cli import output

_FOLDED = Column(overflow="fold")


@dataclass(frozen=True, slots=True)
class Amount:
    """How far a stage is.

    Attributes:
        done, total: in bytes, or in entries; total is None where the end isn't known.
        rate: the same a second; 0: not known.
        is_bytes: whether they are bytes.
        note: what else to say, such as how many CARs are built.
        sampled: whether it is only looked at now and then, so that the last number seen isn't the stage's whole.
    """

    done: int = 0
    total: int | None = None
    rate: float = 0.0
    is_bytes: bool = True
    note: str = ""
    sampled: bool = False

    def __str__(self) -> str:
        """In words: "1.2 GiB of 3 GiB, 41%, 812 MiB/s, 2 min left"."""
        return ", ".join(part for part in (*self._parts(), self.note) if part)

    def _parts(self) -> tuple[str, ...]:
        if self.total is None:
            if not self.done:
                return ()
            rate = f"{self._text(self.rate)}/s" if self.rate else ""
            done = self._text(self.done) if self.is_bytes else counted(int(self.done), "entry", "entries")
            return (done, rate)
        share = min(1.0, self.done / self.total) if self.total else 1.0
        parts: tuple[str, ...] = (f"{self._text(self.done)} of {self._text(self.total)}", percent(share))
        if self.rate and self.done < self.total:
            left = duration((self.total - self.done) / self.rate)
            parts += (f"{self._text(self.rate)}/s", f"{left} left")
        return parts

    def _text(self, number: float) -> str:
        return readable(number) if self.is_bytes else f"{number:,.0f}"


class _Words(ProgressColumn):
    """What a stage's amount says."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields["words"]))


class StageBars:
    """Shows stages in their order; a stage that begins ends the one before it.

    Used as a context manager. What is shown goes to standard error.
    """

    def __init__(self, names: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        """`names` of all stages in order; they are numbered if there are several."""
        self._names = list(names)
        self._now = now
        self._current: int | None = None
        self._ended = -1
        self._began = self._said = 0.0
        self._amount = Amount()
        self._bar: TaskID | None = None
        columns = [TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), _Words(_FOLDED)]
        if output.err.width < output.WITH_BARS:
            del columns[1]
        self._bars = Progress(*columns, console=output.err)
        self._live = output.err.is_terminal

    def __enter__(self) -> Self:
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._bars.stop()

    def show(self, name: str, amount: Amount) -> None:
        """A stage is so far. One that is before the current one is news of the past, and isn't shown."""
        number = self._names.index(name)
        if number <= self._ended:
            return
        if number != self._current:
            self.end()
            self._pass_to(number)
            self._begin(number)
        self._amount = amount
        if self._live and self._bar is not None:
            self._bars.update(
                self._bar, completed=amount.done, total=amount.total, words=str(amount) or "…", refresh=False
            )
        elif self._now() - self._said >= output.SAID_EVERY and str(amount):
            self._said = self._now()
            output.say(f"{self._title(number)}: {amount}")

    def end(self) -> None:
        """The current stage has ended well."""
        if self._current is None:
            return
        amount, took = self._amount, duration(self._now() - self._began)
        seen = 0 if amount.sampled else amount.done
        whole = replace(amount, done=amount.total or seen, total=None, rate=0.0)
        did = "nothing to do" if amount.total == 0 else str(whole)
        words = ", ".join(part for part in (did, took) if part)
        if self._live and self._bar is not None:
            self._bars.update(self._bar, completed=1, total=1, words=f"done: {words}")
        else:
            output.say(f"{self._title(self._current)} done: {words}")
        self._ended, self._current = self._current, None

    def finish(self) -> None:
        """All stages have ended well, also those that were too quick to be seen."""
        self.end()
        self._pass_to(len(self._names))

    def _pass_to(self, end: int) -> None:
        """Stages before this one, and after the last one that was shown, have ended unseen."""
        for number in range(self._ended + 1, end):
            if self._live:
                self._bars.add_task(self._title(number), total=1, completed=1, words="done")
            else:
                output.say(f"{self._title(number)} done")
        self._ended = max(self._ended, end - 1)

    def _begin(self, number: int) -> None:
        self._current, self._began, self._said = number, self._now(), self._now()
        self._amount = Amount()
        if self._live:
            self._bar = self._bars.add_task(self._title(number), total=None, words="…")
        else:
            output.say(self._title(number))

    def _title(self, number: int) -> str:
        counted = f"[{number + 1}/{len(self._names)}] " if len(self._names) > 1 else ""
        return counted + self._names[number]
