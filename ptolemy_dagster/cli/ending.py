"""How commands end: errors as sentences, interrupts with a word of how to resume, and an exit code for each."""

import errno
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from ptolemy_core.catalog import place
from ptolemy_core.errors import PtolemyError
from ptolemy_core.interrupts import interruptible
from ptolemy_dagster.cli import output, streams

INTERRUPTED = 128
"""Exit code of an interrupted command, less the signal's number: 130 after Ctrl-C."""

_KERNEL = "PTOLEMY_KERNEL"
"""The variable that names a kernel; the kernel's errors name it, and come before any command can catch them."""
_PIPE_CLOSED = 128 + signal.SIGPIPE
_RESUMES = {"scan", "containerize", "blitz", "run", "verify", "root", "restore", "extract", "delete-source"}
"""Commands that resume where they were interrupted."""


def ends_well(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """A command whose errors and interrupts end it as they should."""

    @functools.wraps(command)
    def run(*args: object, **kwargs: object) -> None:
        with errors_told("interrupted; run again to resume" if name in _RESUMES else "interrupted"):
            command(*args, **kwargs)
            sys.stdout.flush()

    return run


@contextmanager
def errors_told(interrupted: str = "interrupted") -> Iterator[None]:
    """Tell of what went wrong in the block, and end with the exit code for it.

    Args:
        interrupted: what is said of an interrupt.
    """
    try:
        with interruptible():
            yield
    except KeyboardInterrupt as interrupt:
        output.say(interrupted)
        raise typer.Exit(INTERRUPTED + getattr(interrupt, "number", signal.SIGINT)) from None
    except PtolemyError as error:
        output.fail(output.told(error), error.code)
        raise typer.Exit(output.exit_code(error)) from None
    except streams.OutputError as error:
        streams.discard_output()
        if error.errno == errno.EPIPE:  # whoever read it has enough, as `head` has
            raise typer.Exit(_PIPE_CLOSED) from None
        why = "it is closed" if error.errno == errno.EBADF else os.strerror(error.errno or errno.EIO)
        _fail(f"standard output can't be written: {why}")
    except OSError as error:
        name = f"{os.fsdecode(error.filename)!r}: " if isinstance(error.filename, str | bytes) else ""
        _fail(f"{name}{error.strerror or error}")
    except MemoryError:
        _fail("memory is short: end other programs, then run this again")
    except Exception as error:
        known = str(error) if _KERNEL in str(error) else _of_a_database(error)
        if known is None:
            raise
        _fail(known)


def _of_a_database(error: Exception) -> str | None:
    """What a database's error says; None for an error of another kind."""
    if "sqlalchemy" not in sys.modules:
        return None
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from ptolemy_core.catalog import sqlite

    if not isinstance(error, SQLAlchemyError):
        return None
    cause = getattr(error, "orig", None) or error
    known = sqlite.said(cause, f"in {place.place()}") if isinstance(error, DBAPIError) else None
    if known is not None:
        return str(known)
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return f"the database in {place.place()} can't be used: {lines[0]}"


def _fail(text: str) -> NoReturn:
    output.fail(text)
    raise typer.Exit(output.FAILED) from None
