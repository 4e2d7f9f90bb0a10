"""CARs that aren't files: whatever gives any range of bytes, as a file that the reader can use.

A generated CAR and a piece at a provider are examples. `SeekableCar`, `verify_car` and a restore take one in place of
a path.
"""

import errno
import io
from typing import Protocol, runtime_checkable

from ptolemy_core.errors import PtolemyError


@runtime_checkable
class Ranges(Protocol):
    """Any byte range of something of known size. Any thread may read.

    Attributes:
        name: for messages.
        size: bytes.
    """

    name: str
    size: int

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill the buffer with the bytes from `offset`, all of which exist.

        Raises:
            PtolemyError, OSError: they can't be read.
        """

    def close(self) -> None:
        """Free what is open."""


@runtime_checkable
class Remote(Ranges, Protocol):
    """`Ranges` that others send: they cost time, and may be wrong."""

    def worth(self, size: int, offset: int) -> int:
        """How many of `size` bytes are worth to be read in advance."""

    def distrust(self) -> bool:
        """Say that what this thread read last is wrong; whether the same can be read from elsewhere."""


class RangeFile(io.RawIOBase):
    """`Ranges` as an open file, which closes them. What can't be read is an OSError that says why.

    Attributes:
        name: for messages.
        size: bytes.
    """

    def __init__(self, ranges: Ranges) -> None:
        super().__init__()
        self.name = ranges.name
        self.size = ranges.size
        self._ranges = ranges
        self._remote = ranges if isinstance(ranges, Remote) else None
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, as in any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer from the position on; fewer bytes at the end, or where more aren't worth to be read."""
        view = memoryview(buffer).cast("B")
        got = self.pread_into(view[: self.worth(len(view), self._at)], self._at)
        self._at += got
        return got

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer with the bytes from an offset; returns how many there were. Any thread may call it.

        Raises:
            OSError: they can't be read.
        """
        count = max(0, min(len(buffer), self.size - offset))
        if count:
            try:
                self._ranges.read_into(offset, buffer[:count])
            except PtolemyError as error:
                raise OSError(errno.EIO, str(error), self.name) from error
        return count

    @property
    def is_remote(self) -> bool:
        """Whether each byte that is read has to be transferred."""
        return self._remote is not None

    def worth(self, size: int, offset: int) -> int:
        """How many of `size` bytes are worth to be read in advance."""
        return size if self._remote is None else self._remote.worth(size, offset)

    def distrust(self) -> bool:
        """Say that what this thread read last is wrong; whether the same can be read from elsewhere."""
        return self._remote is not None and self._remote.distrust()

    def pread(self, size: int, offset: int) -> bytes:
        """At most so many bytes from an offset; raises as `pread_into`."""
        buffer = bytearray(max(0, min(size, self.size - offset)))
        self.pread_into(memoryview(buffer), offset)
        return bytes(buffer)

    def close(self) -> None:
        """Close what gives the bytes."""
        if not self.closed:
            self._ranges.close()
        super().close()
