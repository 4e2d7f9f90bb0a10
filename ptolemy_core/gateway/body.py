"""The bytes of an answer, read part after part from the open CARs of a library."""

from collections.abc import Iterator
from typing import Any

from ptolemy_core.dag import cid, varint
from ptolemy_core.gateway.answer import Answer, Part, Span
from ptolemy_core.gateway.library import Library
from ptolemy_core.gateway.parts import Parts, SharedPart

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
        self._left = len(answer.parts) if isinstance(answer.parts, tuple) else None  # if that is known
        self._once = _Once() if answer.once else None
        self._literal = b""
        self._taken: Any = None
        self._span: Span | None = None
        self._at = 0

    @property
    def at_end(self) -> bool:
        """Whether all was read, and nothing is open any more; False if only another read would tell."""
        return self._left == 0 and self._span is None and not self._literal

    def begin(self, most: int, *, by_file: bool) -> bytes | memoryview:
        """The first bytes, as `read` gives them; none if they are to be sent from a file: see `file_range`."""
        return b"" if by_file and self.file_range() else self.read(most)

    def close(self) -> None:
        """Give back what is open."""
        self._give_back()
        close = getattr(self._parts, "close", None)
        if close is not None:
            close()

    def read(self, most: int) -> bytes | memoryview:
        """The next bytes, at most so many, and less at the end of a part; none at the end of all.

        Raises:
            SourceError, OutlineError, StagingError, NotFoundError: unreadable; wrong bytes are never returned.
        """
        while True:
            if self._literal or self._span is None:
                if not self._literal and not self._next():
                    return b""
                data, self._literal = self._literal[:most], self._literal[most:]
                if data:
                    return data
                continue
            at, length = self._ahead(most)
            view = memoryview(bytearray(length))
            self._taken.car.read_into(at, view)
            self._passed(length)
            if self._once is None:
                return view
            kept = self._once.filtered(view)
            if kept:
                return kept

    def next_part(self, parts: Parts, size: int) -> SharedPart | None:
        """The next bytes, in memory that was reserved or that another body has read; None at the end of all.

        Args:
            parts: where memory is from.
            size: that was reserved; given back if it isn't used.

        Raises as `read`.
        """
        try:
            while not self._literal and self._span is None and self._next():
                pass
            if self._literal or self._span is None or self._once is not None:
                data = self.read(size)
                parts.give_back(size)
                return SharedPart(data) if data else None
            car = self._taken.car
            at, length = self._ahead(size)
        except BaseException:
            parts.give_back(size)
            raise
        key = (car.stored.piece_cid_v1, at, length)
        part = parts.get(key, size, lambda view: car.read_into(at, view))
        self._passed(length)
        return part

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
        self._passed(count)

    def _next(self) -> bool:
        part = next(self._parts, None)
        if part is None:
            self._left = 0
            return False
        if self._left is not None:
            self._left -= 1
        if isinstance(part, Span):
            if part.length:
                self._taken = self._library.take(part.car)
                self._span, self._at = part, part.offset
        else:
            self._literal = self._once.literal(part) if self._once is not None else part
        return True

    def _ahead(self, most: int) -> tuple[int, int]:
        """Where the span is read on, and how many bytes, at most so many, are best read at once."""
        assert self._span is not None
        end = self._span.offset + self._span.length
        return self._at, min(self._taken.car.step(self._at, most), end - self._at)

    def _passed(self, count: int) -> None:
        """Note that so many bytes of the span were read or sent."""
        assert self._span is not None
        self._at += count
        if self._at == self._span.offset + self._span.length:
            self._give_back()

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
