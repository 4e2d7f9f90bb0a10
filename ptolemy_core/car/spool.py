"""Blocks that come children first, kept in a file, and given back parents first, as a CAR has them.

In memory there are five numbers a block, so that trees of millions of folders need little of it.
"""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from ptolemy_core.car import nodes

_BUFFER = 1 << 20
NOT_HELD = -1
"""In place of a block's number: a block that is in another CAR."""


class Spool:
    """A file of blocks, without a name in its folder: it is gone with its process. Used as a context manager."""

    def __init__(self, folder: str) -> None:
        """Open the file.

        Raises:
            OSError: the folder can't be written.
        """
        self._file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
        self._written = 0
        self._at = array("q")
        self._size = array("q")
        self._span = array("q")  # of the sections of the block and all below it
        self._parent = array("q")
        self._before = array("q")  # from the parent's section to this one

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._at)

    @property
    def span(self) -> int:
        """Bytes of all sections."""
        return self._written

    def add(self, binary_cid: bytes, block: bytes, children: Sequence[int] = ()) -> int:
        """Add a block above the blocks of these numbers, in the order of its links; returns its number.

        Raises:
            OSError: the disk is full, or fails.
        """
        number = len(self._at)
        data = nodes.section(binary_cid, block)
        self._at.append(self._written)
        self._size.append(len(data))
        self._parent.append(-1)
        self._before.append(0)
        below = len(data)
        for child in children:
            if child == NOT_HELD:
                continue
            self._parent[child] = number
            self._before[child] = below
            below += self._span[child]
        self._span.append(below)
        self._file.write(data)
        self._written += len(data)
        return number

    def sections(self) -> Iterator[bytes]:
        """The sections in depth-first pre-order from the block that came last, the root."""
        self._file.flush()
        offsets = self._before
        for number in range(len(self) - 2, -1, -1):
            offsets[number] += offsets[self._parent[number]]
        for number in np.argsort(np.frombuffer(offsets, dtype=np.int64)).tolist():
            self._file.seek(self._at[number])
            yield self._file.read(self._size[number])
