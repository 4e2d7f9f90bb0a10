"""A temporary file of blocks: written children first, read parents first, in the order of a CAR.

Memory: five numbers per block, so that trees with millions of folders need little.
"""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from types import TracebackType

import numpy as np

from ptolemy_core.car import nodes

_BUFFER = 1 << 20
IN_OTHER_CAR = -1
"""In place of a block's number: the block is in another CAR."""


class Spool:
    """An unnamed file of blocks, which disappears with its process. Used as a context manager."""

    def __init__(self, folder: str) -> None:
        """Create the file.

        Raises:
            OSError: the folder isn't writable.
        """
        self._file = tempfile.TemporaryFile(dir=folder, buffering=_BUFFER)  # noqa: SIM115
        self._written = 0
        self._at = array("q")
        self._size = array("q")
        self._span = array("q")  # bytes of the sections of the block's subtree
        self._parent = array("q")
        self._distance = array("q")  # bytes from the parent's section to this one

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
        """Add a block with these children (block numbers in the order of its links); returns its number.

        Raises:
            OSError: the disk is full or fails.
        """
        number = len(self._at)
        data = nodes.section(binary_cid, block)
        self._at.append(self._written)
        self._size.append(len(data))
        self._parent.append(-1)
        self._distance.append(0)
        span = len(data)
        for child in children:
            if child == IN_OTHER_CAR:
                continue
            self._parent[child] = number
            self._distance[child] = span
            span += self._span[child]
        self._span.append(span)
        self._file.write(data)
        self._written += len(data)
        return number

    def sections(self) -> Iterator[bytes]:
        """The sections in depth-first pre-order from the root, the block that was added last."""
        self._file.flush()
        offsets = self._distance
        for number in range(len(self) - 2, -1, -1):
            offsets[number] += offsets[self._parent[number]]
        for number in np.argsort(np.frombuffer(offsets, dtype=np.int64)).tolist():
            self._file.seek(self._at[number])
            yield self._file.read(self._size[number])
