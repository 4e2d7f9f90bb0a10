"""Where a build puts a CAR's bytes: a protocol. A file in a staging area is one; nowhere is another."""

import mmap
from typing import Protocol


class Output(Protocol):
    """Takes the bytes of one CAR. `write` may be called by any thread; all methods raise OSError if a disk fails."""

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes at an offset."""

    def sync(self) -> None:
        """See that all that was written is durable."""

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        """Read bytes back into a page-aligned buffer."""

    def publish(self, name: str) -> None:
        """Give the CAR, now complete, its name.

        Raises:
            BusyError: another build of the same CAR took over.
        """
