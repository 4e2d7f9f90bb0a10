"""Page-aligned buffers that are reused: new memory costs page faults, and direct I/O needs alignment."""

import mmap
import sys
from collections import deque

PAGE = mmap.PAGESIZE

_HUGE = 2 << 20
"""Bytes of a huge page: one page fault instead of 512."""

_WIPE_ON_FORK = 18
"""MADV_WIPEONFORK of Linux, which Python's mmap doesn't name."""


def whole_pages(size: int) -> int:
    """`size` bytes rounded up to whole pages."""
    return -(-size // PAGE) * PAGE


class Buffers:
    """A pool of buffers of one size: `take` one, `give` it back. Thread-safe."""

    def __init__(self, size: int) -> None:
        page = PAGE if size < _HUGE else _HUGE
        self.size = -(-size // page) * page
        self._free: deque[mmap.mmap] = deque()

    def take(self) -> mmap.mmap:
        """A free or new buffer; its content is undefined."""
        try:
            return self._free.pop()
        except IndexError:
            return new_buffer(self.size)

    def give(self, buffer: mmap.mmap) -> None:
        """Return a buffer that is no longer in use."""
        self._free.append(buffer)


def new_buffer(size: int) -> mmap.mmap:
    """Memory that a fork neither copies nor shares, in huge pages where the system has them.

    A child of a fork finds zeros in it. If its pages became the child's too, the next write to each would copy it,
    and a direct read that was under way would end in the copy that this process doesn't see any more.
    """
    if sys.platform == "linux":
        buffer = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        try:
            buffer.madvise(_WIPE_ON_FORK)
        except OSError:
            buffer.close()
        else:
            _ask_for_huge_pages(buffer)
            return buffer
    return mmap.mmap(-1, size)  # shared with children, so that no page is copied


def _ask_for_huge_pages(buffer: mmap.mmap) -> None:
    try:
        buffer.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        return  # a kernel without them
