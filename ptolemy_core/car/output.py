"""The protocol for where a build writes a CAR's bytes: a file in a staging area, or nowhere."""

import mmap
from typing import Protocol


class Output(Protocol):
    """Receives the bytes of one CAR. Any thread may call `write`; all methods raise OSError if a disk fails."""

    def write(self, data: memoryview, offset: int) -> None:
        """Write bytes at an offset."""

    def sync(self) -> None:
        """Make everything written so far durable."""

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        """Read bytes back into a page-aligned buffer."""

    def publish(self, name: str) -> None:
        """Give the complete CAR its name.

        Raises:
            BusyError: another build of the same CAR took over.
        """
