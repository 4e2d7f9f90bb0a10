"""Page-aligned buffers that are reused: new memory costs a page fault per 4 KiB, and direct I/O needs alignment."""

import mmap
import threading

PAGE = mmap.PAGESIZE


def whole_pages(size: int) -> int:
    """`size` bytes rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


class Buffers:
    """A pool of buffers of one size: `take` one, `give` it back. Thread-safe."""

    def __init__(self, size: int) -> None:
        self.size = whole_pages(size)
        self._free: list[mmap.mmap] = []
        self._lock = threading.Lock()

    def take(self) -> mmap.mmap:
        """A free or new buffer; its content is undefined."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return mmap.mmap(-1, self.size)  # shared: a fork during a direct read would split a private page

    def give(self, buffer: mmap.mmap) -> None:
        """Return a buffer that is no longer in use."""
        with self._lock:
            self._free.append(buffer)
