"""The bytes of an answer, read part after part from the open CARs of a library."""

from collections.abc import Iterator
from typing import Any

from ptolemy_core.dag import cid, varint
from ptolemy_core.gateway.answer import Answer, Part, Span
from ptolemy_core.gateway.library import Library

_LENGTH = 9
"""Bytes of a section's length at most."""


class Body:
    """The body of an answer, read once from its begin to its end. One thread at a time may use it.

    Args:
        library: where CARs are open.
        answer: whose body it is.
    """

    def __init__(self, library: Library, answer: Answer) -> None:
        self._library = library
        self._parts: Iterator[Part] = iter(answer.parts)
        self._once = _Once() if answer.once else None
        self._literal = b""
        self._taken: Any = None
        self._span: Span | None = None
        self._at = 0

    def close(self) -> None:
        """Give back what is open."""
        self._give_back()
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()

    def read(self, most: int) -> bytes | memoryview:
        """The next bytes, at most so many, and less at the end of a part; none at the end of all.

        Raises as `read_into`.
        """
        return self.read_into(memoryview(bytearray(most)))

    def read_into(self, buffer: memoryview) -> bytes | memoryview:
        """The next bytes, as `read` gives them, in the buffer where they fit it: as many as it has, or less.

        Raises:
            SourceError, OutlineError, StagingError, NotFoundError: unreadable; wrong bytes are never returned.
        """
        most = len(buffer)
        while True:
            if self._literal:
                data: bytes | memoryview = self._literal[:most]
                self._literal = self._literal[most:]
                return data
            if self._span is None:
                if not self._next():
                    return b""
                continue
            data = self._of_span(buffer)
            if self._once is None:
                return data
            kept = self._once.filtered(data)
            if kept:
                return kept

    def file_range(self) -> tuple[int, int, int] | None:
        """The rest of the part that is read now, if its bytes are those of a file: descriptor, offset, length."""
        while not self._literal and self._span is None:
            if not self._next():
                return None
        if self._literal or self._once is not None or self._span is None:
            return None
        descriptor = self._taken.car.fileno
        if descriptor is None:
            return None
        return descriptor, self._at, self._span.offset + self._span.length - self._at

    def skip(self, count: int) -> None:
        """Note that so many bytes of `file_range` were sent."""
        assert self._span is not None
        self._at += count
        if self._at == self._span.offset + self._span.length:
            self._give_back()

    def _next(self) -> bool:
        part = next(self._parts, None)
        if part is None:
            return False
        if isinstance(part, Span):
            if part.length:
                self._taken = self._library.take(part.car)
                self._span, self._at = part, part.offset
        else:
            self._literal = self._once.literal(part) if self._once is not None else part
        return True

    def _of_span(self, buffer: memoryview) -> memoryview:
        assert self._span is not None
        end = self._span.offset + self._span.length
        car = self._taken.car
        part = buffer[: min(car.step(self._at, len(buffer)), end - self._at)]
        car.read_into(self._at, part)
        self._at += len(part)
        if self._at == end:
            self._give_back()
        return part

    def _give_back(self) -> None:
        if self._taken is not None:
            self._library.give_back(self._taken)
        self._taken = self._span = None


class _Once:
    """Takes the bytes of a CAR and leaves out the blocks that came before."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._rest = bytearray()
        self._began = False

    def literal(self, part: bytes) -> bytes:
        """The first part is the CAR's header; others are sections, as spans are."""
        if not self._began:
            self._began = True
            return part
        return self.filtered(part)

    def filtered(self, data: bytes | memoryview) -> bytes:
        """The whole sections that are there by now, without those that came before."""
        self._rest += data
        kept, at = [], 0
        with memoryview(self._rest) as buffer:
            while (found := _section(buffer, at)) is not None:
                begin, end = found
                binary = bytes(buffer[begin : begin + cid.SIZE])
                if binary not in self._seen:
                    self._seen.add(binary)
                    kept.append(bytes(buffer[at:end]))
                at = end
        del self._rest[:at]
        return b"".join(kept)


def _section(buffer: memoryview, at: int) -> tuple[int, int] | None:
    """Where the CID of the section at `at` begins, and its end; None if it isn't all there."""
    try:
        length, begin = varint.decode(bytes(buffer[at : at + _LENGTH]))
    except ValueError:
        return None
    begin += at
    return None if begin + length > len(buffer) else (begin, begin + length)
