"""Sorting more entries than memory holds: sorted runs in a temporary file, merged as they are read."""

import heapq
import marshal
import struct
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO

from ptolemy_core.errors import StagingError
from ptolemy_core.source.protocol import Entry

RUN = 50_000
"""Entries of a run: about 15 MB."""

_BLOCK = 1_000
"""Entries that are read back at once, from each run."""

_LENGTH = struct.Struct("<I")


class SortedRuns:
    """Takes entries in any order and gives them back by path. Used as a context manager, which removes its file."""

    def __init__(self, run: int = RUN) -> None:
        """`run`: entries that are kept in memory."""
        self._most = run
        self._run: list[Entry] = []
        self._file: IO[bytes] | None = None
        self._starts: list[tuple[int, int]] = []
        self._last: bytes = b""
        self._in_order = True

    def add(self, entries: list[Entry]) -> None:
        """Take entries.

        Raises:
            StagingError: the disk is full.
        """
        self._run += entries
        if len(self._run) >= self._most:
            self._spill()

    def _spill(self) -> None:
        """Write a sorted run."""
        run, self._run = self._run, []
        run.sort()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115 it is kept open
            start = self._file.tell()
            for low in range(0, len(run), _BLOCK):
                packed = marshal.dumps([tuple(entry) for entry in run[low : low + _BLOCK]])
                self._file.write(_LENGTH.pack(len(packed)) + packed)
            self._file.flush()
            self._starts.append((start, self._file.tell()))
        except OSError as error:
            raise StagingError(
                f"{tempfile.gettempdir()} can't take the temporary file of a listing ({error.strerror}): free space "
                "there, or set TMPDIR to another folder, then run this again"
            ) from error
        self._in_order = self._in_order and (len(self._starts) == 1 or self._last <= run[0][0])
        self._last = max(self._last, run[-1][0])

    def __iter__(self) -> Iterator[Entry]:
        self._run.sort()
        if not self._starts:
            yield from self._run
            return
        runs = [self._read(start, end) for start, end in self._starts]
        if self._in_order and (not self._run or self._last <= self._run[0][0]):
            for one in runs:
                yield from one
            yield from self._run
            return
        yield from heapq.merge(*runs, iter(self._run))

    def _read(self, start: int, end: int) -> Iterator[Entry]:
        assert self._file is not None
        while start < end:
            self._file.seek(start)
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            block = marshal.loads(self._file.read(length))
            start += _LENGTH.size + length
            yield from map(Entry._make, block)

    def __enter__(self) -> "SortedRuns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
