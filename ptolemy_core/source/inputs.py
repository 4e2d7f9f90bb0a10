"""The files of a container's items, as a build reads them from any source.

A build reads through one `Inputs`, which checks that all reads of a file found it in the same state.
"""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.errors import SourceError
from ptolemy_core.kernel import Buffer
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.source import refusals
from ptolemy_core.source.protocol import Files, KeepsPaths, ReadsMany, State
from ptolemy_core.source.stamps import Stamps
from ptolemy_core.tree import Kind
from ptolemy_core.tree.packed import some_of


class Inputs:
    """A container's items, their stamps, and the source they are read from.

    Attributes:
        source: where they are read from.
        items: the container's items.
        stamps: the stamp of each item's whole file at the scan.
        targets: targets of symbolic links, by item index.
    """

    def __init__(self, source: Files, items: Items, stamps: Stamps, targets: Mapping[int, bytes]) -> None:
        self.source = source
        self.items = items
        self.stamps = stamps
        self.targets = targets
        self._many = source if isinstance(source, ReadsMany) else None
        self._keeps = source if isinstance(source, KeepsPaths) else None
        self._states = _FileStates(len(items), _first_items(items), stamps.seen)

    def read_into(self, item: int, start: int, buffers: Sequence[memoryview]) -> None:
        """Fill the buffers, in order, with the item's bytes from `start` (an offset in the shard, in bytes).

        Raises:
            SourceError: the file can't be read, or changed since the scan or an earlier read.
        """
        offset = int(self.items.starts[item]) + start
        try:
            state = self.source.read(self.items.paths[item], offset, buffers, self.stamps[item])
        except SourceError as error:
            raise self._of(item, error) from error.__cause__
        if state is not None and not self._states.note(item, state):
            raise self._of(item, refusals.torn(self._name(item)))

    def read_small(
        self, items: NDArray[np.int64], buffer: Buffer, offsets: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Read whole small files to these offsets in the buffer, if the source can read many in one call.

        Returns:
            which of them were read; the caller reads the others with `read_into`, which reports errors.
        """
        done = np.zeros(len(items), dtype=np.bool_)
        if self._many is None:
            return done
        whole = np.flatnonzero(
            self.items.sizes[items] == self.stamps.sizes[items]
        )  # no shards of larger files
        rows = items[whole]
        names = some_of(self.items.paths, rows)
        stamps = self.stamps.take(rows)
        good, states = self._many.read_many(names, buffer, offsets[whole], stamps)
        if states is not None:
            good[good] = self._states.note_many(rows[good], states[good])
        done[whole] = good
        return done

    def link(self, item: int) -> bytes:
        """A symbolic link's target.

        Raises:
            SourceError: it can't be read, or changed since the scan.
        """
        try:
            target = self.source.link(self.items.paths[item])
        except SourceError as error:
            raise self._of(item, error) from error.__cause__
        if target != self.targets[item]:
            raise self._of(item, refusals.changed(self._name(item), "the link has another target"))
        return target

    def check(self, item: int) -> None:
        """Check that an item can be opened and hasn't changed since the scan, without reading its data.

        Raises:
            SourceError: it can't be opened, or changed since the scan.
        """
        if self.items.kinds[item] == Kind.SYMLINK:
            self.link(item)
            return
        try:
            self.source.check(self.items.paths[item], int(self.items.kinds[item]), self.stamps[item])
        except SourceError as error:
            raise self._of(item, error) from error.__cause__

    def kept_path(self, item: int) -> bytes:
        """What an outline keeps as an item's path, for later reads of its source."""
        path = self.items.paths[item]
        return path if self._keeps is None else self._keeps.kept_path(path)

    def states(self) -> list[State | None]:
        """The state in which each item's file was read; None if nothing was read or the source has no states."""
        known, states = self.state_columns()
        return [
            (row[0], row[1]) if there else None for there, row in zip(known, states.tolist(), strict=True)
        ]

    def state_columns(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which items have a state, and the two numbers of each item's."""
        return self._states.columns()

    def _name(self, item: int) -> str:
        return self.source.name(self.items.paths[item])

    @staticmethod
    def _of(item: int, error: SourceError) -> SourceError:
        error.item = item
        return error


def _first_items(items: Items) -> NDArray[np.int64] | None:
    """For each item, the index of its file's first item: shards of a file are consecutive. None: its own."""
    shards = np.flatnonzero(items.shards != WHOLE).tolist()
    if not shards:
        return None
    first = np.arange(len(items), dtype=np.int64)
    for k in shards:
        if k and items.paths[k - 1] == items.paths[k]:
            first[k] = first[k - 1]
    return first


class _FileStates:
    """The state of each file at its first read, which later reads must find unchanged. Thread-safe."""

    def __init__(self, count: int, file_of: NDArray[np.int64] | None, seen: NDArray[np.int64] | None) -> None:
        """States of so many items.

        Args:
            count: of items.
            file_of: the item that each item's file is noted at; None: all are of different files.
            seen: the states at the scan, if it knows them. They are overwritten: the first read may find others.
        """
        self._file_of = file_of
        self._states = np.zeros((count, 2), dtype=np.int64) if seen is None else seen
        self._known = np.zeros(count, dtype=np.bool_)
        self._lock = threading.Lock()

    def note(self, item: int, state: State) -> bool:
        """Record the state that a read found; returns whether it is the state of earlier reads."""
        row = item if self._file_of is None else self._file_of[item]
        with self._lock:
            if self._known[row]:
                return state == (self._states[row, 0], self._states[row, 1])
            self._states[row] = state
            self._known[row] = True
        return True

    def note_many(self, items: NDArray[np.int64], states: NDArray[np.int64]) -> NDArray[np.bool_]:
        """`note` for items of different files; a file in another state keeps its first state."""
        rows = items if self._file_of is None else self._file_of[items]
        with self._lock:
            known = self._known[rows]
            same = ~known
            if known.any():
                same |= (self._states[rows] == states).all(axis=1)
            self._states[rows[same]] = states[same]
            self._known[rows[same]] = True
        return same

    def columns(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which items have a state, and the states."""
        if self._file_of is None:
            return self._known, self._states
        return self._known[self._file_of], self._states[self._file_of]
