"""Values that are kept until later: in memory while they are few, in a temporary file beyond that."""

import marshal
import os
import struct
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Generic, TypeVar

from ptolemy_core.errors import StagingError

IN_MEMORY = 100_000
"""Items that are kept in memory: some 50 MB of a scan's entries."""

_LENGTH = struct.Struct("<Q")
_T = TypeVar("_T")


class Spill(Generic[_T]):
    """A list of tuples of plain values, each of which counts as so many items.

    The file has no name, so it is gone with its process.
    """

    def __init__(self, folder: str) -> None:
        """`folder`: for the file, if it can be written; else the system's."""
        self._folder = folder if os.access(folder, os.W_OK | os.X_OK) else None
        self._values: list[_T] = []
        self._items = 0
        self._file: IO[bytes] | None = None

    def append(self, value: _T, items: int) -> None:
        """Keep a value.

        Raises:
            StagingError: the disk is full.
        """
        self._items += items
        if self._file is None and self._items <= IN_MEMORY:
            self._values.append(value)
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 it is kept open
            packed = marshal.dumps(tuple(value))  # type: ignore[arg-type]  # a named tuple isn't marshalled
            self._file.write(_LENGTH.pack(len(packed)) + packed)
        except OSError as error:
            raise StagingError(
                f"{self._folder or tempfile.gettempdir()} can't take the temporary file of what was found "
                f"({error.strerror}): free space there, then run this again"
            ) from error

    def __iter__(self) -> Iterator[_T]:
        yield from self._values
        if self._file is not None:
            self._file.seek(0)
            while head := self._file.read(_LENGTH.size):
                yield marshal.loads(self._file.read(*_LENGTH.unpack(head)))

    def __enter__(self) -> "Spill[_T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
