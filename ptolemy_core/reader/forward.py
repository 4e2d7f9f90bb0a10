"""Reads a file once, from start to end, into page-aligned buffers that are used again.

The next chunk is read while the last ones are hashed. What the page cache doesn't hold is read with direct I/O
(O_DIRECT): a CAR is written without that cache, and reading it through the cache takes as long as half of the hashes.
"""

import errno
import fcntl
import mmap
import os
import weakref
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.commp.commitment import SUBTREE
from ptolemy_core.kernel import Buffer

CHUNK: Final = 16 * SUBTREE
"""Bytes of a chunk: whole subtrees of the piece commitment, whole pages, and sixteen leaves to hash side by side."""

_HEADROOM: Final = 2 << 20
"""Bytes before a chunk for the section that began in the one before it: any block of the profile fits."""

_SMALL: Final = 1 << 20
"""Bytes of a file for which neither a thread nor direct I/O pays off."""

_PAGE: Final = mmap.PAGESIZE
_DIRECT = getattr(os, "O_DIRECT", 0)
_CACHED_ONLY = getattr(os, "RWF_NOWAIT", 0)


class ChunkBuffers:
    """Buffers of a chunk and the bytes before it, shared by all that is read at once. Thread-safe."""

    def __init__(self) -> None:
        self._free: deque[mmap.mmap] = deque()

    def __len__(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self) -> NDArray[np.uint8]:
        """A buffer of undefined content. It is used again once nothing refers to it, or to a part of it."""
        try:
            memory = self._free.pop()
        except IndexError:
            # shared: a fork during a direct read would split a private page
            memory = mmap.mmap(-1, _HEADROOM + CHUNK)
        buffer = np.frombuffer(memory, dtype=np.uint8)
        weakref.finalize(buffer, self._free.append, memory).atexit = False
        return buffer


class ForwardFile:
    """An open file, read from its start to its end; used as a context manager, which doesn't close it.

    Args:
        descriptor: of the file, which nothing else uses meanwhile.
        buffers: to read into.
    """

    def __init__(self, descriptor: int, buffers: ChunkBuffers) -> None:
        self._descriptor = descriptor
        self._buffers = buffers
        self._at = 0
        self._may_be_direct = bool(_DIRECT)
        self._ahead: ThreadPoolExecutor | None = None
        self._next: Future[memoryview] | None = None
        self._ended = False

    def __enter__(self) -> Self:
        if os.fstat(self._descriptor).st_size > CHUNK:
            self._ahead = ThreadPoolExecutor(1, thread_name_prefix="read")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ahead is not None:
            self._ahead.shutdown(cancel_futures=True)
        self._next = None

    def read(self, _: int = 0) -> Buffer:
        """The next bytes of the file; none at its end. As many as are convenient, whatever is asked for.

        Raises:
            OSError: they can't be read.
        """
        return self.read_after(b"")

    def read_after(self, kept: Buffer) -> Buffer:
        """`kept` and the next bytes of the file, one after the other; at its end, only `kept`.

        Raises:
            OSError: they can't be read.
        """
        filled = self._take()
        room = _HEADROOM - len(kept)
        if room < 0:  # a block that no CAR of the profile has
            return memoryview(b"".join((kept, filled[_HEADROOM:])))
        filled[room:_HEADROOM] = kept
        return filled[room:].toreadonly()

    def _take(self) -> memoryview:
        """The next chunk, after its headroom; the one after it is begun."""
        filled = self._next.result() if self._next is not None else self._fill()
        self._next = None
        if self._ahead is not None and not self._ended:
            self._next = self._ahead.submit(self._fill)
        return filled

    def _fill(self) -> memoryview:
        view = self._buffers.take().data
        chunk = view[_HEADROOM:]
        size = 0 if self._ended else self._read(chunk, self._at)
        self._ended = size < len(chunk)
        self._at += size
        return view[: _HEADROOM + size]

    def _read(self, chunk: memoryview, offset: int) -> int:
        """Fill a chunk from a page of the file on; fewer bytes only at the file's end."""
        done = 0
        if self._may_be_direct and os.fstat(self._descriptor).st_size - offset >= _SMALL:
            done = self._read_cached(chunk, offset)
            if done < len(chunk):
                done += self._read_direct(chunk[done:], offset + done)
        while done < len(chunk):
            got = os.preadv(self._descriptor, [chunk[done:]], offset + done)
            if not got:
                break
            done += got
        return done

    def _read_cached(self, chunk: memoryview, offset: int) -> int:
        """Read whole pages as far as they are in the page cache; returns the number of bytes.

        A large read that misses makes the system read ahead. So one byte at either end is probed first.
        """
        if not _CACHED_ONLY:
            return 0
        try:
            for at in (offset, offset + len(chunk) - 1):
                if not os.preadv(self._descriptor, [bytearray(1)], at, _CACHED_ONLY):
                    return 0
            return os.preadv(self._descriptor, [chunk], offset, _CACHED_ONLY) // _PAGE * _PAGE
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
                raise
            return 0

    def _read_direct(self, rest: memoryview, offset: int) -> int:
        """Read with direct I/O up to the file's last page; returns the number of bytes."""
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
        done = 0
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | _DIRECT)
            while done < len(rest) and done % _PAGE == 0:
                got = os.preadv(self._descriptor, [rest[done:]], offset + done)
                if not got:
                    break
                done += got
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._may_be_direct = False  # no direct I/O on this file system, or of larger pages
        finally:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags)
        return done
