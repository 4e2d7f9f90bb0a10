"""Standard input, output and error of the command line: whatever they are, nothing is lost silently or dies of them.

What can't be written to standard output is an error of its own, OutputError: a full disk there isn't one of the
catalog. Messages that can't be written to standard error are dropped, as the work is worth more. Characters that an
encoding doesn't have are written as escapes.
"""

import io
import os
import sys
from contextlib import suppress
from typing import Any


class OutputError(OSError):
    """Standard output can't be written."""


class _Output(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise OutputError(error.errno, error.strerror) from error


class _Messages(io.TextIOWrapper):
    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare() -> None:
    """Set up the standard streams of this process."""
    _open_closed()
    sys.stdout = _over(_Output, 1)
    sys.stderr = _over(_Messages, 2)


def discard_output() -> None:
    """Drop what standard output still holds, and all that comes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _over(kind: Any, descriptor: int) -> Any:
    old = sys.stdout if descriptor == 1 else sys.stderr
    encoding = getattr(old, "encoding", None) or "utf-8"
    if old is not None:
        old.flush()
    return kind(
        io.FileIO(descriptor, "w", closefd=False)
        if descriptor == 2
        else open(descriptor, "wb", closefd=False),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=os.isatty(descriptor) or descriptor == 2,
        write_through=descriptor == 2,
    )


def _open_closed() -> None:
    """Open what was closed: else the next file, perhaps a CAR, would be standard output.

    Reading ends at once, writing fails for standard output, as it does where it is closed.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
