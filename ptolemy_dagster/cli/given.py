"""Files named on the command line: `-` is standard input, and what can't be read like a file is refused at once.

Pipes that the shell opened (`-`, /dev/stdin, /dev/fd/63 of `<(...)`) are read. A named pipe, a socket or an endless
device isn't: if nothing ever writes to it, the command would wait forever.
"""

import errno
import os
import re
import stat
import sys
import tempfile
from contextlib import suppress
from typing import BinaryIO

from ptolemy_core.errors import PtolemyError, SourceUnreadableError
from ptolemy_core.reader.opening import open_regular
from ptolemy_core.tree import paths

_DESCRIPTOR = re.compile(rb"/dev/fd/([0-9]+)|/proc/self/fd/([0-9]+)")
_COPIED = 4 << 20


def shown(path: str | os.PathLike[str]) -> str:
    """A path as text, with escapes where its bytes aren't any."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_standard_input(path: str | os.PathLike[str]) -> bool:
    """Whether a path stands for a stream that the shell opened, and not for a file by name."""
    return _descriptor(os.fsencode(path)) is not None


def open_given(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file, or a stream that the shell opened, for reading once from the beginning to the end.

    Raises:
        SourceUnreadableError: it can't be read, or is neither.
    """
    name = os.fsencode(path)
    descriptor = _descriptor(name)
    try:
        if descriptor is None:
            return open_regular(name)
        if descriptor == 0 and sys.__stdin__ is None:
            raise OSError(
                errno.EBADF, "standard input is closed"
            )  # the number may stand for another file by now
        return open(os.dup(descriptor), "rb", buffering=0)
    except OSError as error:
        said = f"{paths.display(name)} can't be read: {error.strerror}"
        with suppress(OSError):
            if stat.S_ISFIFO(os.stat(name).st_mode):
                said += f"; to read a pipe, give - and redirect standard input: < {paths.display(name)}"
        raise SourceUnreadableError(said) from None


def open_seekable(path: str | os.PathLike[str], folder: str | None) -> BinaryIO:
    """A stream that the shell opened as a file that can be read at any place: its bytes go to a file without a name.

    Args:
        path: the stream's.
        folder: where that file is, if the folder is there; else where temporary files are (TMPDIR).

    Raises:
        PtolemyError: it can't be read, or there is no room for it.
    """
    stream = open_given(path)
    if stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        return stream
    where = folder if folder and os.path.isdir(folder) else None
    try:
        with stream:
            spooled = tempfile.TemporaryFile(dir=where, buffering=0)  # noqa: SIM115 (returned)
            try:
                while chunk := stream.read(_COPIED):
                    view = memoryview(chunk)
                    while view:
                        view = view[spooled.write(view) :]
            except BaseException:
                spooled.close()
                raise
    except OSError as error:
        raise PtolemyError(
            f"standard input can't be stored in {where or tempfile.gettempdir()} "
            f"({error.strerror}): set TMPDIR to a folder with enough free space, or give a file"
        ) from None
    return spooled


def _descriptor(path: bytes) -> int | None:
    if path in (b"-", b"/dev/stdin", b"/proc/self/fd/0"):
        return 0
    match = _DESCRIPTOR.fullmatch(path)
    return int(match[1] or match[2]) if match else None
