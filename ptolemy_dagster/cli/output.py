"""What commands print: tables for people, JSON for scripts, progress bars on standard error, clear errors."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column, Table
from rich.text import Text

from ptolemy_core.catalog import place
from ptolemy_core.errors import ProjectExistsError, PtolemyError, SettingsError, UnknownProjectError
from ptolemy_core.facts.fields import Facts
from ptolemy_core.sizes import duration, readable

FAILED = 1
"""Exit code of a command that failed."""
MISUSED = 2
"""Exit code of a command that was given an option it doesn't have, or a value that isn't allowed."""
DAMAGED = 3
"""Exit code of a command that gave all that was asked for, from CARs of which one is cut or has rubbish in it."""

SAID_EVERY = 30.0
"""Seconds between two lines on progress where standard error is no terminal."""
WITH_BARS = 100
"""Columns of a terminal below which progress has no bar: its words need the space."""
_ANY_WIDTH = 1_000_000
"""Columns of a terminal in which any table fits."""

_json_errors: ContextVar[bool] = ContextVar("json_errors", default=False)

# no highlighting: it takes quadratic time on a long name
out = Console(soft_wrap=True, highlight=False, emoji=False)
err = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_facts(value: Facts | Sequence[Facts]) -> None:
    """Print facts, or a list of them, as JSON."""
    print_json(value.as_json() if isinstance(value, Facts) else [one.as_json() for one in value])


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """A table; in a terminal that is too narrow for it, a block for each row. Nothing is ever cut.

    Columns in which no row has anything are left out.
    """
    # cells are Text and no markup, in which even an escaped name may lose a backslash
    kept = [[str(value) for value in row] for row in rows]
    used = [k for k in range(len(header)) if not kept or any(row[k] for row in kept)]
    table = Table(title=Text(title) if title else None, title_justify="left")
    for k in used:
        table.add_column(Text(header[k]), no_wrap=True)
    for row in kept:
        table.add_row(*(Text(row[k]) for k in used))
    width = Console(width=_ANY_WIDTH, emoji=False).measure(table).maximum
    if not out.is_terminal:
        Console(width=max(width, 1), file=sys.stdout, highlight=False, emoji=False).print(table)
    elif width <= out.width:
        out.print(table)
    else:
        _print_blocks([header[k] for k in used], [[row[k] for k in used] for row in kept], title)


def _print_blocks(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None) -> None:
    """A block for each row: a line for each column that has something there."""
    if title:
        out.print(Text(title))
    for k, row in enumerate(rows):
        if k:
            out.print()
        for name, value in zip(header, row, strict=True):
            if value:
                out.print(Text.assemble((f"{name}:", "bold"), f" {value}"))


def say(text: str) -> None:
    """A sentence for people, on standard error, so that standard output stays for results."""
    err.print(Text(text))


def fail(text: str, code: str = PtolemyError.code) -> None:
    """An error's message; within `json_errors` a line of JSON with its code."""
    if _json_errors.get():
        sys.stderr.write(json.dumps({"error": {"code": code, "message": text}}) + "\n")
    else:
        err.print(Text.assemble(("error:", "bold red"), f" {text}"))


def told(error: PtolemyError) -> str:
    """An error's message; where a project isn't known, also where was looked."""
    if isinstance(error, UnknownProjectError):
        with suppress(PtolemyError):
            return f"{error}; state is in {place.place()}"
    return str(error)


def exit_code(error: PtolemyError) -> int:
    """The exit code of a command that ends with an error: 2 for a value that isn't allowed, else 1."""
    bad_value = isinstance(error, SettingsError) and not isinstance(error, ProjectExistsError)
    return MISUSED if bad_value else FAILED


@contextmanager
def json_errors(wanted: bool) -> Iterator[None]:
    """Within the block, errors are shown as JSON if that is wanted: of a command that was given --json."""
    token = _json_errors.set(wanted)
    try:
        yield
    finally:
        _json_errors.reset(token)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Show a PtolemyError on standard error (as JSON within `json_errors`), and end with its exit code."""
    try:
        yield
    except PtolemyError as error:
        fail(told(error), error.code)
        raise typer.Exit(exit_code(error)) from None


class _Words(ProgressColumn):
    """How far a task is, in words and with the units of all other output."""

    def render(self, task: Task) -> Text:
        return Text(_words(task))


def _words(task: Task) -> str:
    """Bytes done of a total, rate and time left; nothing for a task that counts no bytes, such as a scan."""
    if task.total is None:
        return ""
    parts = [f"{readable(task.completed)} of {readable(task.total)}"]
    rate = task.finished_speed or task.speed
    if rate:
        parts.append(f"{readable(rate)}/s")
    if task.finished:
        parts.append(f"done in {duration(task.finished_time or 0)}")
    elif task.time_remaining is not None:
        parts.append(f"{duration(task.time_remaining)} left")
    return ", ".join(parts)


class ByteProgress(Progress):
    """Bars of bytes on standard error; where that is no terminal, a line every 30 seconds."""

    _said = 0.0

    def update(self, task_id: TaskID, **values: Any) -> None:
        """Change a task; see rich."""
        super().update(task_id, **values)
        self._say(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Count what was done of a task; see rich."""
        super().advance(task_id, advance)
        self._say(task_id)

    def _say(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if self.console.is_terminal or now - self._said < SAID_EVERY:
            return
        if not self._said:  # the first line is due after the interval, too
            self._said = now
            return
        self._said = now
        task = self._tasks[task_id]
        say(f"{task.description}: {_words(task)}".removesuffix(": "))


def byte_progress() -> ByteProgress:
    """Bars of bytes with rate and time left, on standard error; in a narrow terminal the words alone."""
    columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
    if err.width >= WITH_BARS:
        columns.append(BarColumn(bar_width=20))
    return ByteProgress(*columns, _Words(Column(overflow="fold")), console=err, disable=not err.is_terminal)
