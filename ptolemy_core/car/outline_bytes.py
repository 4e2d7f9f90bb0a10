"""Where an outline's bytes are: a small protocol, and files. What is read is checked by `outline.Outline`."""

import os
from typing import Protocol

from ptolemy_core.errors import OutlineError


class OutlineBytes(Protocol):
    """The bytes of an outline, wherever they are. Any thread may read."""

    @property
    def name(self) -> str:
        """Of the outline, for messages."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, at: int, size: int) -> bytes:
        """Bytes from an offset on; fewer where the outline ends.

        Raises:
            OutlineError: they can't be read.
        """

    def close(self) -> None:
        """Nothing may be read any more."""


class FileBytes:
    """An outline that is a file. It isn't mapped into memory: a mapped file that is cut off kills the process.

    Raises:
        OutlineError: it can't be opened.
    """

    def __init__(self, path: str) -> None:
        self.name = path
        self._file = -1
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self.size = os.fstat(self._file).st_size
        except OSError as error:
            self.close()
            raise unreadable(path, error.strerror) from error

    def read(self, at: int, size: int) -> bytes:
        """Bytes from an offset on; fewer where the file ends.

        Raises:
            OutlineError: they can't be read.
        """
        parts: list[bytes] = []
        try:
            while size and (part := os.pread(self._file, size, at)):
                parts.append(part)
                at, size = at + len(part), size - len(part)
        except OSError as error:
            raise unreadable(self.name, error.strerror) from error
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def unreadable(name: str, why: object) -> OutlineError:
    """An outline can't be read."""
    return OutlineError(
        f"the outline {name} can't be read ({why}): see that it is there and readable, "
        "or rebuild it from the source"
    )
