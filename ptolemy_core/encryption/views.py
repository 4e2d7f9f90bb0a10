"""Byte ranges of a file, encrypted or decrypted while they are read.

`Encrypted` presents a plaintext as its encrypted file, `Decrypted` does the reverse. Both use and provide a single
primitive, `Reader.read`, so that either can wrap anything that reads a file. Thread-safe.
"""

import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

from ptolemy_core.encryption.cipher import FileCipher
from ptolemy_core.encryption.headers import Header
from ptolemy_core.encryption.segments import HEADER, SEGMENT, TAG, plain_size
from ptolemy_core.errors import DamagedError, SourceChangedError
from ptolemy_core.keys.secret import Secret
from ptolemy_core.tree import paths

_TOGETHER = 8
"""Segments read in one call: large reads are cheaper, and memory stays bounded."""


class Reader(Protocol):
    """Byte ranges of a file of known size."""

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers, in order, from `offset`; returns the number of bytes read.

        Fewer than requested only at the end of the file.
        """


class Encrypted:
    """The encrypted form of a plaintext, as a file of which any range can be read.

    The plaintext must never change, which its reader must ensure: each read uses the same nonces again, which is safe
    only for the same bytes.
    """

    def __init__(self, plain: Reader, cipher: FileCipher) -> None:
        self._plain = plain
        self._cipher = cipher
        self.size = cipher.segments.size

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers with the encrypted file's bytes from `offset`; returns the number of bytes.

        A segment that is entirely in one buffer is read and encrypted in place, others through a temporary buffer. If
        this raises, the buffers contain no plaintext.

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
        """Read the plaintext of some segments in one call to where their ciphertext goes, and encrypt it in place."""
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
    """The plaintext of an encrypted file, of which any range can be read. Each byte is authenticated first."""

    def __init__(self, encrypted: Reader, cipher: FileCipher) -> None:
        self._encrypted = encrypted
        self._cipher = cipher
        self.size = cipher.segments.plain

    @classmethod
    def open(
        cls,
        encrypted: Reader,
        size: int,
        data_key: Secret,
        path: bytes,
        *,
        segment: int = SEGMENT,
        name: str | None = None,
    ) -> "Decrypted":
        """Open an encrypted file using its header.

        Args:
            encrypted: reads it.
            size: its size, bytes.
            data_key: the project's data key for files.
            path: of the whole file in the CAR, as for `cipher.associated_data`.
            segment: bytes of a segment; tests shrink it.
            name: of the file, for messages; by default its path.

        Raises:
            DamagedError: it has no header, or a size that encrypted files can't have.
        """
        plain = plain_size(size, segment)
        header = bytearray(HEADER)
        got = encrypted.read(0, [memoryview(header)])
        shown = name or paths.display(path)
        parsed = Header.parse(bytes(header[:got]), shown)
        return cls(encrypted, FileCipher(data_key, parsed, path, plain, segment=segment, name=lambda: shown))

    def read(self, offset: int, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers with the plaintext from `offset`; returns the number of bytes.

        If this raises, the buffers contain only authenticated bytes.

        Raises:
            DamagedError: a segment was changed or moved, or is cut off.
        """
        wanted = sum(map(len, buffers))
        numbers = self._cipher.segments.holding_plain(offset, wanted)
        if not self.size:
            numbers = range(1)  # there are no bytes, but the empty segment is authenticated
        targets = _Targets(offset, buffers)
        for first in range(numbers.start, numbers.stop, _TOGETHER):
            self._decrypt(range(first, min(first + _TOGETHER, numbers.stop)), targets)
        return max(0, min(wanted, self.size - offset))

    def read_into(self, offset: int, buffer: memoryview) -> int:
        """`read` into one buffer."""
        return self.read(offset, [buffer])

    def check(self) -> None:
        """Check that every segment is authentic.

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
"""Buffers to reuse: new memory costs a page fault per 4 KiB. They contain only ciphertext or zeros."""

_spare_lock = threading.Lock()


def _take(size: int) -> memoryview:
    """A buffer of at least `size` bytes, for one thread until it is given back."""
    with _spare_lock:
        for place, buffer in enumerate(_spare):
            if len(buffer) >= size:
                return _spare.pop(place)
    return memoryview(
        bytearray(1 << (size - 1).bit_length())
    )  # few different sizes, so that buffers fit the next request


def _give(*buffers: memoryview) -> None:
    """Give buffers back for reuse."""
    with _spare_lock:
        _spare.extend(buffers)


class _Targets:
    """Buffers that receive, in order, the bytes of a file from an offset."""

    def __init__(self, offset: int, buffers: Sequence[memoryview]) -> None:
        self._buffers = [buffer for buffer in buffers if len(buffer)]
        self._starts = list(accumulate(map(len, self._buffers), initial=offset))

    def place_of(self, start: int, length: int) -> memoryview | None:
        """The part of a buffer that receives a whole range of the file; None if no single buffer does."""
        for at, buffer in self._from(start):
            if at <= start and start + length <= at + len(buffer):
                return buffer[start - at : start - at + length]
            break
        return None

    def copy(self, data: memoryview, start: int) -> None:
        """Copy the part of `data`, which is at `start` in the file, that the buffers receive."""
        end = start + len(data)
        for at, buffer in self._from(start):
            if at >= end:
                return
            low, high = max(at, start), min(at + len(buffer), end)
            buffer[low - at : high - at] = data[low - start : high - start]

    def _from(self, start: int) -> Iterator[tuple[int, memoryview]]:
        """The buffers that receive bytes at or after `start`, each with its offset in the file."""
        for number in range(max(0, bisect_right(self._starts, start) - 1), len(self._buffers)):
            yield self._starts[number], self._buffers[number]
