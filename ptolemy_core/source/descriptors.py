"""Reading an open file: what the page cache holds is copied from there; what it doesn't is read around it
(O_DIRECT), which costs a tenth of the CPU and leaves the machine's cache to others."""

import errno
import fcntl
import os
from collections.abc import Sequence

from ptolemy_core.source.buffers import PAGE, Buffers, whole_pages

BOUNCE = 4 << 20
"""Bytes of a buffer that reads around the cache go through."""

_DIRECT = getattr(os, "O_DIRECT", 0)
_CACHED_ONLY = getattr(os, "RWF_NOWAIT", 0)
_DIRECT_FROM = 1 << 20
"""Bytes of one read from which reading around the cache pays."""

_IOVECS = 1000
"""Buffers of one call; Linux takes 1024."""


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
        fcntl.fcntl(
            descriptor, fcntl.F_SETFL, flags | _DIRECT
        )  # the same file: a second open may find another
    except OSError:
        return done + _read_all(descriptor, offset + done, rest)
    try:
        return done + _read_direct(descriptor, offset + done, rest, bounce)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system wants another alignment, or none at all
            raise
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
