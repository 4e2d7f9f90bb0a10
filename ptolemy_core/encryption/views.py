"""Byte ranges of a file, encrypted or decrypted as they are read.

`Encrypted` makes a plaintext look like its encrypted file, `Decrypted` the other way round. Both read and offer the
same one primitive, `Reader.read`, so that either can be put around whatever reads a file. Any thread may read any
range.
"""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from ptolemy_core.encryption.cipher import FileCipher, Header
from ptolemy_core.encryption.segments import HEADER, SEGMENT, TAG, plain_size
from ptolemy_core.errors import DamagedError, SourceChangedError
from ptolemy_core.keys.secret import Secret
from ptolemy_core.tree import paths

_TOGETHER = 8
"""Segments whose plaintext is read in one call: large reads cost less, and their memory is bounded."""


class Reader(Protocol):
    """Byte ranges of a file of known size."""

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers, one after the other, from `offset`; returns how many bytes there were.

        Fewer than the buffers take only where the file ends.
        """


class Encrypted:
    """The encrypted form of a plaintext, as a file that can be read in any ranges.

    The plaintext must be the same at every call (whoever reads it sees to that): its nonces are used again with each
    read, which is safe for the same bytes only.
    """

    def __init__(self, plain: Reader, cipher: FileCipher) -> None:
        self._plain = plain
        self._cipher = cipher
        self.size = cipher.segments.size

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers with the encrypted file's bytes from `offset`; returns how many there were.

        A segment that a buffer takes as a whole is read and encrypted in its place, others by way of memory of their
        own. When this raises, the buffers hold no plaintext.

        Raises:
            SourceChangedError: the plaintext is shorter than it was.
        """
        wanted = sum(map(len, buffers))
        numbers = self._cipher.segments.holding_encrypted(offset, wanted)
        targets = _Targets(offset, buffers)
        for first in range(numbers.start, numbers.stop, _TOGETHER):
            self._encrypt(range(first, min(first + _TOGETHER, numbers.stop)), targets)
        return max(0, min(wanted, self.size - offset))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """`read` into one buffer."""
        return self.read(offset, [buffer])

    def _encrypt(self, numbers: range, targets: "_Targets") -> None:
        """Read the plaintext of some segments, in one call, to where their ciphertext goes, and encrypt it there."""
        segments = self._cipher.segments
        spares = []
        outs = []
        for number in numbers:
            start, length = segments.encrypted_range(number)
            out = targets.place_of(start, length)
            copied = out is None
            if out is None:
                spares.append(_take(length))
                out = spares[-1][:length]
            outs.append((number, out, copied))
        places = [out[0 if number else HEADER : len(out) - TAG] for number, out, _ in outs]
        done = 0
        try:
            self._fill(segments.plain_range(numbers[0])[0], places)
            for (number, out, copied), plain in zip(outs, places, strict=True):
                self._cipher.encrypt(number, plain, out)
                done += 1
                if copied:
                    targets.copy(out, segments.encrypted_range(number)[0])
        except BaseException:
            for place in places[done:]:
                place[:] = bytes(len(place))
            raise
        finally:
            _give(*spares)

    def _fill(self, offset: int, places: list[memoryview]) -> None:
        wanted = sum(map(len, places))
        if not wanted:
            return
        got = self._plain.read(offset, places)
        if got != wanted:
            reason = f"only {offset + got} of its {self._cipher.segments.plain} bytes can be read"
            raise SourceChangedError(
                f"{self._cipher.name} changed since the scan, {reason}: scan again, then containerize and blitz",
                reason=f"changed since the scan, {reason}",
            )


class Decrypted:
    """The plaintext of an encrypted file, as a file that can be read in any ranges. Each byte is checked first."""

    def __init__(self, encrypted: Reader, cipher: FileCipher) -> None:
        self._encrypted = encrypted
        self._cipher = cipher
        self.size = cipher.segments.plain

    @classmethod
    def open(
        cls, encrypted: Reader, size: int, data_key: Secret, path: bytes, *, segment: int = SEGMENT
    ) -> "Decrypted":
        """Open an encrypted file by its own header.

        Args:
            encrypted: reads it.
            size: its size, bytes.
            data_key: the project's data key for files.
            path: of the whole file in the CAR, as `cipher.associated_data` takes it.
            segment: bytes of a segment; tests shrink it.

        Raises:
            DamagedError: it has no header, or no encrypted file has that size.
        """
        plain = plain_size(size, segment)
        header = bytearray(HEADER)
        got = encrypted.read(0, [memoryview(header)])
        parsed = Header.parse(bytes(header[:got]), paths.display(path))
        return cls(encrypted, FileCipher(data_key, parsed, path, plain, segment=segment))

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers with the plaintext from `offset`; returns how many bytes there were.

        When this raises, the buffers hold no byte that wasn't checked.

        Raises:
            DamagedError: a segment was changed, is cut off, or belongs elsewhere.
        """
        wanted = sum(map(len, buffers))
        numbers = self._cipher.segments.holding_plain(offset, wanted)
        if not self.size:
            numbers = range(1)  # no byte is given, but that there is none is checked
        targets = _Targets(offset, buffers)
        for first in range(numbers.start, numbers.stop, _TOGETHER):
            self._decrypt(range(first, min(first + _TOGETHER, numbers.stop)), targets)
        return max(0, min(wanted, self.size - offset))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """`read` into one buffer."""
        return self.read(offset, [buffer])

    def check(self) -> None:
        """See that every segment is the one that was written.

        Raises:
            DamagedError: one isn't.
        """
        buffer = memoryview(bytearray(min(self.size, _TOGETHER * self._cipher.segments.segment)))
        self.read(0, [buffer])
        for offset in range(len(buffer), self.size, len(buffer) or 1):
            self.read(offset, [buffer])

    def _decrypt(self, numbers: range, targets: "_Targets") -> None:
        """Read some segments, in one call, and decrypt them to where their plaintext goes."""
        segments = self._cipher.segments
        start = segments.encrypted_range(numbers[0])[0]
        last, length = segments.encrypted_range(numbers[-1])
        spare = _take(last + length - start)
        sealed = spare[: last + length - start]
        try:
            got = self._encrypted.read(start, [sealed])
            if got != len(sealed):
                raise DamagedError(
                    f"encrypted file {self._cipher.name} ends at byte {start + got} of {segments.size}: it is cut "
                    "off; fetch it again"
                )
            for number in numbers:
                at, plain_length = segments.plain_range(number)
                low, length = segments.encrypted_range(number)
                whole = targets.place_of(at, plain_length)
                out = memoryview(bytearray(plain_length)) if whole is None else whole
                self._cipher.decrypt(number, sealed[low - start : low - start + length], out)
                if whole is None:
                    targets.copy(out, at)
        finally:
            _give(spare)


_spare: list[memoryview] = []
"""Memory to use again: fresh memory costs a page fault every 4 KiB. There is ciphertext in it, or zeros."""

_spare_lock = threading.Lock()


def _take(size: int) -> memoryview:
    """Memory of `size` bytes or more, for one thread until it is given back."""
    with _spare_lock:
        for place, buffer in enumerate(_spare):
            if len(buffer) >= size:
                return _spare.pop(place)
    return memoryview(
        bytearray(1 << (size - 1).bit_length())
    )  # few sizes, so that each fits the next who asks


def _give(*buffers: memoryview) -> None:
    """Let others use the memory."""
    with _spare_lock:
        _spare.extend(buffers)


class _Targets:
    """Buffers that take the bytes of a file from an offset, one after the other."""

    def __init__(self, offset: int, buffers: Sequence[memoryview]) -> None:
        self._buffers = [buffer for buffer in buffers if len(buffer)]
        self._starts = list(accumulate(map(len, self._buffers), initial=offset))

    def place_of(self, start: int, length: int) -> memoryview | None:
        """Where a range of the file goes as a whole; None if no buffer takes all of it."""
        for at, buffer in self._from(start):
            if at <= start and start + length <= at + len(buffer):
                return buffer[start - at : start - at + length]
            break
        return None

    def copy(self, data: memoryview, start: int) -> None:
        """Copy what the buffers take of `data`, which is in the file at `start`."""
        end = start + len(data)
        for at, buffer in self._from(start):
            if at >= end:
                return
            low, high = max(at, start), min(at + len(buffer), end)
            buffer[low - at : high - at] = data[low - start : high - start]

    def _from(self, start: int) -> Iterator[tuple[int, memoryview]]:
        """The buffers that take something at or behind `start`, each with its own offset in the file."""
        for number in range(max(0, bisect_right(self._starts, start) - 1), len(self._buffers)):
            yield self._starts[number], self._buffers[number]
