"""Memory for parts of bodies that are read, sent, and were sent last.

Bodies that want the same bytes of a CAR at about the same time share a part: it is read once and sent to all. Memory
is reserved before a part is read, so that bodies together never take more than a limit, and used again, because new
memory costs as much as copying it. The thread of an event loop reserves and releases; any thread reads.
"""

import mmap
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ptolemy_core.made_once import MadeOnce
from ptolemy_core.source.buffers import new_buffer

_MIB = 1 << 20
_SLACK = 64 << 10
"""What the heads of sections and small nodes need beside leaves of whole MiB."""

SIZES = tuple(size + _SLACK for size in (_MIB // 4, _MIB, 4 * _MIB, 16 * _MIB))
"""Bytes of parts. The largest holds 16 leaves, which are hashed side by side."""

LIMIT = 192 * _MIB
"""Bytes of parts that are read and not yet sent, about."""

_KEPT = 48 * _MIB
"""Bytes of memory that is kept while nothing is sent."""

Key: TypeAlias = tuple[bytes, int, int]
"""What a part holds: a CAR's piece CID, an offset in it, a length."""


@dataclass(eq=False, slots=True)
class SharedPart:
    """Bytes of a body.

    Attributes:
        data: the bytes.
        buffer: where they are, if that is shared memory.
        users: bodies that send them now.
    """

    data: bytes | memoryview
    buffer: mmap.mmap | None = None
    key: Key | None = None
    users: int = 1


class Parts:
    """The parts of a server's bodies.

    Args:
        limit: bytes of memory.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._used = 0  # reserved, or of parts with users
        self._mapped = 0
        self._parts: dict[Key, SharedPart] = {}
        self._idle: OrderedDict[Key, SharedPart] = (
            OrderedDict()
        )  # of them, those that nobody sends, the oldest first
        self._blank: list[mmap.mmap] = []
        self._once = MadeOnce()
        self._lock = self._once.lock
        self.bodies = 0

    @property
    def used(self) -> int:
        """Bytes that are reserved, or being sent."""
        return self._used

    def reserve(self, size: int, *, anyway: bool = False) -> bool:
        """Reserve memory for a part, `size` one of SIZES; whether there is enough, or it is to be taken anyway."""
        with self._lock:
            if self._used + size > self._limit and not anyway:
                return False
            self._used += size
            return True

    def give_back(self, size: int) -> None:
        """Give back what was reserved and isn't needed."""
        with self._lock:
            self._used -= size

    def get(self, key: Key, size: int, fill: Callable[[memoryview], None]) -> SharedPart:
        """The part of these bytes: one that is there, or a new one in memory that was reserved.

        Args:
            key: what it holds.
            size: that was reserved, at least its length; given back if the part is there or can't be made.
            fill: reads the bytes; what it raises is raised here.
        """

        def find() -> SharedPart | None:
            found = self._parts.get(key)
            if found is not None:
                self._used -= size
                self._use(found)
            return found

        def make() -> SharedPart:
            try:
                return self._made(key, size, fill)
            except BaseException:
                self.give_back(size)
                raise

        return self._once.get(key, find, make, lambda part: self._parts.update({key: part}))

    def release(self, part: SharedPart) -> None:
        """Say that a body has sent a part. Its bytes are kept for others until their memory is needed."""
        if part.buffer is None or part.key is None:
            return
        with self._lock:
            part.users -= 1
            if part.users:
                return
            self._used -= len(part.buffer)
            self._idle[part.key] = part
            if not self._used:
                self._forget()

    def _use(self, part: SharedPart) -> None:
        if not part.users:
            assert part.buffer is not None
            assert part.key is not None
            self._used += len(part.buffer)
            del self._idle[part.key]
        part.users += 1

    def _made(self, key: Key, size: int, fill: Callable[[memoryview], None]) -> SharedPart:
        with self._lock:
            buffer = self._buffer(size)
        view = memoryview(buffer)[: key[2]]
        try:
            fill(view)
        except BaseException:
            with self._lock:
                self._blank.append(buffer)
            raise
        return SharedPart(view, buffer, key)

    def _buffer(self, size: int) -> mmap.mmap:
        """Memory of this size: what was used before where nobody is likely to want its bytes, else new."""
        for k, blank in enumerate(self._blank):
            if len(blank) == size:
                return self._blank.pop(k)
        same = [part for part in self._idle.values() if part.buffer is not None and len(part.buffer) == size]
        if same and (len(same) >= 2 * (self.bodies - 1) or self._mapped + size > self._limit):
            found = self._drop(same[0])
            assert found is not None
            return found
        while self._mapped + size > self._limit and (self._blank or self._idle):
            gone = self._blank.pop() if self._blank else self._drop(next(iter(self._idle.values())))
            self._mapped -= len(gone or b"")
        self._mapped += size
        return new_buffer(size)

    def _drop(self, part: SharedPart) -> mmap.mmap | None:
        assert part.key is not None
        del self._idle[part.key], self._parts[part.key]
        return part.buffer

    def _forget(self) -> None:
        """Nothing is sent: keep some memory, and no bytes."""
        self._blank += [buffer for part in list(self._idle.values()) if (buffer := self._drop(part))]
        while self._mapped > _KEPT and self._blank:
            self._mapped -= len(self._blank.pop())
