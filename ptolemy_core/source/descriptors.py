"""Reading an open file: from the page cache where it has the data, else with direct I/O (O_DIRECT).

Direct I/O takes a tenth of the CPU time and leaves the machine's page cache to others.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence

import numpy as np

from ptolemy_core.source.buffers import PAGE, Buffers, whole_pages

BOUNCE = 4 << 20
"""Bytes of an aligned buffer for direct reads."""

_DIRECT = getattr(os, "O_DIRECT", 0)
_CACHED_ONLY = getattr(os, "RWF_NOWAIT", 0)
_DIRECT_FROM = 1 << 20
"""Smallest read, in bytes, for which direct I/O pays off."""

_IOVECS = 1000
"""Buffers per call, at most; Linux allows 1024."""

SETTLED = 60.0
"""Seconds a file must be unchanged before its holes are trusted: a file system may report a hole where data isn't
written out yet (OpenZFS 2.1 and 2.2 did)."""

_HOLE = 1 << 20
"""Smallest hole that is skipped, in bytes."""


def may_skip_holes(status: os.stat_result) -> bool:
    """Whether to look for holes: the file is sparse, and hasn't changed recently."""
    blocks: int = getattr(status, "st_blocks", 0)
    sparse = blocks * 512 < status.st_size and hasattr(os, "SEEK_DATA")
    return sparse and time.time() - status.st_ctime > SETTLED


def read_sparse(descriptor: int, offset: int, buffers: Sequence[memoryview], bounce: Buffers) -> int:
    """`read_at` that doesn't read large holes but writes zeros. The range must be within the file."""
    end = offset + sum(map(len, buffers))
    at, rest = offset, buffers
    for low, high in _data(descriptor, offset, end):
        rest = _zeros(rest, low - at)
        part = _before(rest, high - low)
        got = read_at(descriptor, low, part, bounce)
        if got < high - low:
            return low + got - offset
        at, rest = high, _after(rest, got)
    _zeros(rest, end - at)
    return end - offset


def _data(descriptor: int, low: int, end: int) -> Iterator[tuple[int, int]]:
    """The ranges of data in a part of a file; between them are holes of _HOLE bytes or more."""
    start = at = low  # [start, at) is data, with small holes
    while at < end:
        data = min(_seek(descriptor, at, os.SEEK_DATA, at), end)
        if data - at >= _HOLE:
            if start < at:
                yield start, at
            start = data
        hole = min(_seek(descriptor, data, os.SEEK_HOLE, end), end)
        at = hole if hole > at else end
    if start < end:
        yield start, end


def _seek(descriptor: int, at: int, how: int, unknown: int) -> int:
    """The next data or hole from `at` on; a huge offset if there is none, `unknown` if the file system can't tell."""
    try:
        return os.lseek(descriptor, at, how)
    except OSError as error:
        return 1 << 62 if error.errno == errno.ENXIO else unknown


def _zeros(buffers: Sequence[memoryview], count: int) -> Sequence[memoryview]:
    """Zero the first `count` bytes of the buffers; returns the rest."""
    for buffer in _before(buffers, count):
        buffer[:] = bytes(len(buffer))
    return _after(buffers, count)


def _before(buffers: Sequence[memoryview], count: int) -> Sequence[memoryview]:
    """The first `count` bytes of the buffers."""
    out = []
    for buffer in buffers:
        if not count:
            break
        out.append(buffer[:count])
        count -= len(out[-1])
    return out


def read_at(descriptor: int, offset: int, buffers: Sequence[memoryview], bounce: Buffers) -> int:
    """Fill the buffers, in order, from the page cache as far as it has the data, else with direct I/O.

    Args:
        descriptor: of the file; not used by other threads.
        offset: in the file, in bytes.
        buffers: to fill.
        bounce: pool of buffers of BOUNCE bytes.

    Returns:
        the number of bytes read; fewer than requested only at the end of the file.

    Raises:
        OSError: they can't be read.
    """
    wanted = sum(map(len, buffers))
    if wanted < _DIRECT_FROM or not _DIRECT:
        return _read_all(descriptor, offset, buffers)
    done = _read_cached(descriptor, offset, buffers, wanted)
    if done == wanted:
        return done
    rest = _after(buffers, done)
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        # on the same descriptor: opening again could find another file
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT)
    except OSError:
        return done + _read_all(descriptor, offset + done, rest)
    try:
        return done + _read_direct(descriptor, offset + done, rest, bounce)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system needs another alignment or has no direct I/O
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return done + _read_all(descriptor, offset + done, rest)


def _read_direct(descriptor: int, offset: int, buffers: Sequence[memoryview], bounces: Buffers) -> int:
    """Read whole aligned pages that include the wanted bytes, and copy those."""
    bounce = bounces.take()
    wanted, done, rest = sum(map(len, buffers)), 0, buffers
    try:
        with memoryview(bounce) as view:
            while done < wanted:
                low = (offset + done) // PAGE * PAGE
                skip = offset + done - low
                size = min(whole_pages(skip + wanted - done), len(view))
                got = min(os.preadv(descriptor, [view[:size]], low) - skip, wanted - done)
                if got <= 0:
                    break
                _copy(view[skip : skip + got], rest)
                rest = _after(rest, got)
                done += got
    finally:
        bounces.give(bounce)
    return done


def _copy(data: memoryview, buffers: Sequence[memoryview]) -> None:
    """Copy bytes to the start of the buffers, without the interpreter's lock: the other threads have work."""
    at = 0
    for part in _before(buffers, len(data)):
        np.copyto(np.frombuffer(part, np.uint8), np.frombuffer(data[at : at + len(part)], np.uint8))
        at += len(part)


def _read_cached(descriptor: int, offset: int, buffers: Sequence[memoryview], wanted: int) -> int:
    """Read the start of the range as far as it is in the page cache; returns the number of bytes.

    A large read that misses makes the system read ahead megabytes, which are then read a second time with direct I/O.
    So one byte at either end is probed first, which costs almost nothing.
    """
    if not _CACHED_ONLY:
        return 0
    try:
        for at in (offset, offset + wanted - 1):
            if not os.preadv(descriptor, [bytearray(1)], at, _CACHED_ONLY):
                return 0
        return os.preadv(descriptor, buffers[:_IOVECS], offset, _CACHED_ONLY)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise
        return 0


def _read_all(descriptor: int, offset: int, buffers: Sequence[memoryview]) -> int:
    """Read until the buffers are full or the file ends; returns the number of bytes."""
    done = 0
    rest = buffers
    while rest:
        got = os.preadv(descriptor, rest[:_IOVECS], offset + done)
        if not got:
            break
        done += got
        rest = _after(rest, got)
    return done


def _after(buffers: Sequence[memoryview], done: int) -> Sequence[memoryview]:
    """The rest of the buffers after their first `done` bytes."""
    for k, buffer in enumerate(buffers):
        if done < len(buffer):
            return [buffer[done:], *buffers[k + 1 :]]
        done -= len(buffer)
    return []
