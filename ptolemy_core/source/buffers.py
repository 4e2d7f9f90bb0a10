"""Page-aligned buffers that are used again: fresh memory costs a page fault every 4 KiB, and direct I/O wants
its addresses aligned."""

import mmap
import threading

PAGE = mmap.PAGESIZE


def whole_pages(size: int) -> int:
    """`size` bytes rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


class Buffers:
    """Buffers of one size; `take` gives a free or a new one, `give` returns it. Any thread may call them."""

    def __init__(self, size: int) -> None:
        self.size = whole_pages(size)
        self._free: list[mmap.mmap] = []
        self._lock = threading.Lock()

    def take(self) -> mmap.mmap:
        """A buffer; what it holds is left from its last use."""
        with self._lock:
            if self._free:
                return self._free.pop()
        return mmap.mmap(-1, self.size)

    def give(self, buffer: mmap.mmap) -> None:
        """Return a buffer that nobody uses any more."""
        with self._lock:
            self._free.append(buffer)
