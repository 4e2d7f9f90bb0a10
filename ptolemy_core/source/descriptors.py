"""Reading an open file: what the page cache holds is copied from there; what it doesn't is read around it
(O_DIRECT), which costs a tenth of the CPU and leaves the machine's cache to others."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Sequence

from ptolemy_core.source.buffers import PAGE, Buffers, whole_pages

BOUNCE = 4 << 20
"""Bytes of a buffer that reads around the cache go through."""

_DIRECT = getattr(os, "O_DIRECT", 0)
_CACHED_ONLY = getattr(os, "RWF_NOWAIT", 0)
_DIRECT_FROM = 1 << 20
"""Bytes of one read from which reading around the cache pays."""

_IOVECS = 1000
"""Buffers of one call; Linux takes 1024."""


SETTLED = 60.0
"""Seconds since the last change of a file after which its holes are believed: a file system may report a hole where
data isn't written out yet (OpenZFS 2.1 and 2.2 did)."""


_HOLE = 1 << 20
"""Bytes of the smallest hole that isn't read."""


def may_skip_holes(status: os.stat_result) -> bool:
    """Whether looking for holes is worth a call, and safe: the file has some, and hasn't changed for a while."""
    blocks: int = getattr(status, "st_blocks", 0)
    sparse = blocks * 512 < status.st_size and hasattr(os, "SEEK_DATA")
    return sparse and time.time() - status.st_ctime > SETTLED


def read_sparse(descriptor: int, offset: int, buffers: Sequence[memoryview], bounce: Buffers) -> int:
    """`read_at` that fills in the zeros of large holes by itself. The range must lie within the file."""
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
    """Ranges of a part of a file that hold data: what is between them are holes of _HOLE bytes or more."""
    start = at = low  # from start to at there is data, with small holes
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
    """The next data or hole from `at` on; far away if there is none, `unknown` if the file system can't say."""
    try:
        return os.lseek(descriptor, at, how)
    except OSError as error:
        return 1 << 62 if error.errno == errno.ENXIO else unknown


def _zeros(buffers: Sequence[memoryview], count: int) -> Sequence[memoryview]:
    """Zero the first `count` bytes; returns the rest."""
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
    """Fill the buffers, one after the other, from the cache if all is there, else around it.

    Args:
        descriptor: of the file; nobody else reads through it.
        offset: in the file, bytes.
        buffers: to fill.
        bounce: buffers of BOUNCE bytes.

    Returns:
        how many bytes there were.

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
        # on the same descriptor: a second open may find another file
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | _DIRECT)
    except OSError:
        return done + _read_all(descriptor, offset + done, rest)
    try:
        return done + _read_direct(descriptor, offset + done, rest, bounce)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system wants another alignment, or none at all
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return done + _read_all(descriptor, offset + done, rest)


def _read_direct(descriptor: int, offset: int, buffers: Sequence[memoryview], bounces: Buffers) -> int:
    """Read whole aligned pages around the wanted bytes, and copy those out."""
    bounce = bounces.take()
    view = memoryview(bounce)
    done = 0
    try:
        for buffer in buffers:
            at = 0
            while at < len(buffer):
                low = (offset + done) // PAGE * PAGE
                skip = offset + done - low
                size = min(whole_pages(skip + len(buffer) - at), len(view))
                got = os.preadv(descriptor, [view[:size]], low) - skip
                if got <= 0:
                    return done
                step = min(got, len(buffer) - at)
                buffer[at : at + step] = view[skip : skip + step]
                at += step
                done += step
    finally:
        view.release()
        bounces.give(bounce)
    return done


def _read_cached(descriptor: int, offset: int, buffers: Sequence[memoryview], wanted: int) -> int:
    """Read what the page cache holds of the range's begin; returns how many bytes that were.

    A whole read that misses makes the system read ahead megabytes that are then read once more around the
    cache. So a page at either end is tried first, which makes it read next to nothing.
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
    """Read until all is there or the file ends; returns how many bytes there were."""
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
    """What of the buffers is left when their first `done` bytes are filled."""
    for k, buffer in enumerate(buffers):
        if done < len(buffer):
            return [buffer[done:], *buffers[k + 1 :]]
        done -= len(buffer)
    return []
