"""A streaming reader of CARs, versions 1 and 2: strict about the format, bounded in memory, forward only.

Specification: https://ipld.io/specs/transport/car/ (CARv1, CARv2).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike, fsdecode
from typing import BinaryIO

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag import varint
from ptolemy_core.kernel import Buffer
from ptolemy_core.reader.findings import CarError, Code
from ptolemy_core.reader.forward import ForwardFile
from ptolemy_core.reader.hashes import parse_cid
from ptolemy_core.reader.opening import open_regular
from ptolemy_core.reader.sections import Batch, Block, Section, SectionRun

MAX_SECTION = 8 << 20
"""Default limit of a section's bytes (CID and data): four times what IPFS tools exchange."""
MAX_HEADER = 8 << 20
"""Limit of a header's bytes: about 200,000 roots."""
READ_SIZE = 4 << 20
"""Bytes per read."""

_FEW = 64
"""Sections of which fewer fill one read are so large that copying a part of one counts."""

_VARINT_MAX = 9
_PRAGMA = bytes.fromhex("0aa16776657273696f6e02")
_V2_HEADER_SIZE = 40
_PREFIXES = (profile_cid.RAW_PREFIX, profile_cid.DAG_PB_PREFIX)


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a CAR.

    Attributes:
        version: 1 or 2.
        roots: binary CIDs, any number of any kind.
        payload_offset: byte offset in the file of the CARv1: 0 in version 1.
        payload_size: bytes of the inner CARv1; None in version 1.
        index_offset: byte offset of a CARv2's index, 0 if it has none; the index itself isn't read.
        characteristics: the 16 bytes of flags of a CARv2; None in version 1.
    """

    version: int
    roots: tuple[bytes, ...]
    payload_offset: int = 0
    payload_size: int | None = None
    index_offset: int = 0
    characteristics: bytes | None = None


class CarReader:
    """Reads a CAR once, forward, from a binary stream that need not be seekable.

    The constructor reads the header. After that, use one of `batches`, `sections` and `blocks`, once. Blocks aren't
    checked against their CIDs here.

    Args:
        source: the stream, or the file that is read forward, at the CAR's first byte.
        name: the file's name, for errors.
        max_section: limit of a section's bytes; a longer section is refused before it is read.
        zero_is_end: treat a section of length zero as the end of the CAR, not as an error.
        tap: called with every chunk of bytes that is read, in order.
        read_size: bytes per read from a stream, by default READ_SIZE.

    Attributes:
        header: the CAR's header.
        first_section: byte offset of the first section.

    Raises:
        CarError: the header is malformed, or has an unknown version.
        OSError: the stream can't be read.
    """

    def __init__(
        self,
        source: BinaryIO | ForwardFile,
        name: str,
        *,
        max_section: int = MAX_SECTION,
        zero_is_end: bool = False,
        tap: Callable[[Buffer], None] | None = None,
        read_size: int | None = None,
    ) -> None:
        self._read_size = read_size or READ_SIZE
        self._source = source
        self._name = name
        self._max_section = max_section
        self._zero_is_end = zero_is_end
        self._tap = tap
        self._buffer: Buffer = b""
        self._base = 0
        self._end: int | None = None
        self._last = 0
        self.header = self._read_header()
        self.first_section = self._base

    def _error(self, code: Code, reason: str, offset: int) -> CarError:
        return CarError(code, reason, self._name, offset)

    def _more(self, consumed: int, want: int = 0) -> bool:
        """Drop the buffer's first bytes and read more after its end; False at the end of the file or payload."""
        kept = self._buffer[consumed:] if consumed else self._buffer
        self._buffer = kept
        self._base += consumed
        size = self._next_read(len(kept), want)
        if self._end is not None:
            size = min(size, self._end - self._base - len(kept))
        if size <= 0:
            return False
        if isinstance(self._source, ForwardFile):
            self._buffer = self._source.read_after(kept)
            chunk = self._buffer[len(kept) :]
            if self._end is not None:  # what comes after the payload isn't parsed
                self._buffer = self._buffer[: self._end - self._base]
        else:
            chunk = self._source.read(size)
            self._buffer = kept + chunk if kept else chunk
        if chunk and self._tap is not None:
            self._tap(chunk)
        return bool(chunk)

    def _next_read(self, kept: int, want: int) -> int:
        """Bytes to read: to the end of a section, if those to come are as large as the last: then none is copied."""
        size = max(self._read_size, want)
        if self._last * _FEW < self._read_size:
            return size
        sections = max(-(-self._read_size // self._last), -(-(kept + want) // self._last))
        return max(1, sections * self._last - kept)

    def _take(self, size: int, what: str) -> bytes:
        """The next bytes of the file, for the header."""
        while len(self._buffer) < size:
            if not self._more(0, size - len(self._buffer)):
                at = self._base + len(self._buffer)
                raise self._error(Code.TRUNCATED, f"the file ends inside {what}", at)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        self._base += size
        return bytes(taken)

    def _read_header(self) -> Header:
        while len(self._buffer) < len(_PRAGMA) and self._more(0):
            pass
        if self._buffer[: len(_PRAGMA)] != _PRAGMA:
            return Header(1, self._read_v1_header())
        self._take(len(_PRAGMA), "the CARv2 pragma")
        fields = self._take(_V2_HEADER_SIZE, "the CARv2 header")
        at, size, index = (int.from_bytes(fields[k : k + 8], "little") for k in (16, 24, 32))
        if at < self._base or size == 0:
            raise self._error(
                Code.HEADER, f"a CARv2 payload of {size} bytes at {at}: incomplete, or not a CARv2", 27
            )
        if index and index < at + size:
            raise self._error(Code.HEADER, f"a CARv2 index at {index}, inside the payload", 43)
        while self._base < at:
            self._take(min(READ_SIZE, at - self._base), "the padding before the CARv2 payload")
        self._end = at + size
        # bytes already read after the payload belong to the index: dropped
        self._buffer = self._buffer[:size]
        return Header(2, self._read_v1_header(), at, size, index, fields[:16])

    def _read_v1_header(self) -> tuple[bytes, ...]:
        start = self._base
        while len(self._buffer) < _VARINT_MAX and self._more(0):
            pass
        if not self._buffer:
            raise self._error(Code.TRUNCATED, "the file ends before the CAR header", start)
        try:
            size, after = varint.decode(self._buffer)
        except ValueError as error:
            raise self._error(Code.HEADER, f"the header's length: {error}", start) from None
        if not 0 < size <= MAX_HEADER:
            raise self._error(Code.HEADER, f"a header of {size} bytes; the limit is {MAX_HEADER}", start)
        self._take(after, "the CAR header")
        start = self._base
        body = self._take(size, "the CAR header")
        try:
            version, roots = _header_fields(body)
        except ValueError as error:
            raise self._error(Code.HEADER, f"not a CAR header: {error}", start) from None
        if version != 1:
            raise self._error(Code.VERSION, f"CAR version {version}; 1 and 2 are supported", start)
        return roots

    def batches(self) -> Iterator[Batch]:
        """The sections, one buffer at a time: for callers that process many small blocks together.

        Raises:
            CarError: a section is malformed, cut off, too large, or of length zero; raised after the sections before
                it are yielded.
        """
        ended = False
        while True:
            run = SectionRun.at_start(self._buffer, self._base, self._max_section)
            if run is not None:
                yield Batch(self._buffer, self._base, run)
            sections, used, want, fault, zero = self._parse(run.end if run else 0, ended)
            if sections:
                yield Batch(self._buffer, self._base, sections)
            self._last = _last_size(sections or run, self._base, used) or self._last
            if zero:
                self._buffer, self._base = self._buffer[used:], self._base + used
                fault = self._zero_section()
                ended = True
            if fault is not None:
                raise fault
            if ended:
                return
            ended = not self._more(used, want)

    def sections(self) -> Iterator[Section]:
        """The position of each section, in file order.

        Raises:
            CarError: see `batches`.
        """
        for batch in self.batches():
            yield from batch.sections

    def blocks(self) -> Iterator[Block]:
        """Each section with its data, in file order.

        Raises:
            CarError: see `batches`.
        """
        for batch in self.batches():
            for section in batch.sections:
                yield Block(section.offset, section.cid, batch.data(section))

    def drain(self) -> None:
        """Read to the end of the file, whatever its content, for the `tap`."""
        self._end = None
        self._buffer = b""
        while self._more(len(self._buffer)):
            pass

    def _parse(self, at: int, ended: bool) -> tuple[list[Section], int, int, CarError | None, bool]:
        """Parse the complete sections in the buffer from offset `at` on.

        Returns:
            the sections, the bytes they take, the bytes missing of the next one, its error if it has one, and whether
            it has length zero.
        """
        buffer, base, limit = self._buffer, self._base, self._max_section
        size, want = len(buffer), 0
        found: list[Section] = []
        while at < size:
            if size - at < _VARINT_MAX and not ended:
                break
            length = buffer[at]
            start = at + 1
            if length >= 0x80:
                try:
                    length, start = varint.decode(buffer, at)
                except ValueError:
                    if size - at < _VARINT_MAX and min(buffer[at:]) >= 0x80:
                        code, reason = Code.TRUNCATED, "the file ends inside a section's length"
                    else:
                        code, reason = (
                            Code.VARINT,
                            "a section's length isn't a minimal varint of 1 to 9 bytes",
                        )
                    return found, at, 0, self._error(code, reason, base + at), False
            if length == 0:
                return found, at, 0, None, True
            if length > limit:
                reason = f"a section of {length} bytes; the limit is {limit}"
                return found, at, 0, self._error(Code.SECTION_TOO_LARGE, reason, base + at), False
            end = start + length
            if end > size:
                if ended:
                    reason = f"a section of {length} bytes is cut off after {size - start}"
                    return found, at, 0, self._error(Code.TRUNCATED, reason, base + at), False
                want = end - size
                break
            if length >= profile_cid.SIZE and buffer[start : start + 4] in _PREFIXES:
                after = start + profile_cid.SIZE
            else:
                try:
                    after = parse_cid(buffer, start, end).end
                except ValueError as error:
                    return found, at, 0, self._error(Code.CID, f"a section's CID: {error}", base + at), False
            found.append(Section(base + at, bytes(buffer[start:after]), base + after, end - after))
            at = end
        if ended and self._end is not None and base + size < self._end and at == size:
            reason = f"the CARv2 payload ends {self._end - base - size} bytes early"
            return found, at, 0, self._error(Code.TRUNCATED, reason, base + size), False
        return found, at, want, None, False

    def _zero_section(self) -> CarError | None:
        """The error for a length of zero at the buffer's start; reads on through zeros."""
        if self._zero_is_end:
            return None
        start = self._base
        while bytes(self._buffer).count(0) == len(self._buffer):
            if not self._more(len(self._buffer)):
                count = self._base - start
                reason = f"{count} zero bytes after the last section"
                return self._error(Code.TRAILING_BYTES, reason, start)
        return self._error(Code.ZERO_SECTION, "a section of length zero", start)


@contextmanager
def open_car(
    path: str | bytes | PathLike[str],
    *,
    max_section: int = MAX_SECTION,
    zero_is_end: bool = False,
) -> Iterator[CarReader]:
    """Open a CAR file for reading once, forward.

    Args:
        path: the file.
        max_section: limit of a section's bytes.
        zero_is_end: treat a section of length zero as the end.

    Raises:
        CarError: the header is malformed.
        OSError: the file can't be opened or read.
    """
    with open_regular(path) as file:
        yield CarReader(file, fsdecode(path), max_section=max_section, zero_is_end=zero_is_end)


def _last_size(sections: Sequence[Section] | None, base: int, end: int) -> int:
    """Bytes of the last of these sections, which ends at offset `end` of the buffer; 0 if there are none."""
    return base + end - sections[-1].offset if sections else 0


def _head(body: bytes, at: int, major: int, what: str) -> tuple[int, int]:
    """The argument of a canonical DAG-CBOR head of this major type, and the offset after it."""
    if at >= len(body):
        raise ValueError(f"it ends before {what}")
    if body[at] >> 5 != major:
        raise ValueError(f"{what} is missing (byte 0x{body[at]:02x} at {at})")
    low = body[at] & 31
    if low < 24:
        return low, at + 1
    if low > 27:
        raise ValueError(f"{what} has no definite length")
    size = 1 << (low - 24)
    value = int.from_bytes(body[at + 1 : at + 1 + size], "big")
    if at + 1 + size > len(body):
        raise ValueError(f"it ends inside {what}")
    if value < (24, 1 << 8, 1 << 16, 1 << 32)[low - 24]:
        raise ValueError(f"{what} has a length that isn't minimal")
    return value, at + 1 + size


def _header_fields(body: bytes) -> tuple[int, tuple[bytes, ...]]:
    """Version and roots of a CARv1 header's DAG-CBOR; a version other than 1 may come without roots.

    Raises:
        ValueError: it isn't the canonical map.
    """
    keys, at = _head(body, 0, 5, "a map")
    roots: list[bytes] | None = None
    if body[at : at + 6] == b"\x65roots":
        roots = []
        count, at = _head(body, at + 6, 4, "the list of roots")
        for _ in range(count):
            if body[at : at + 2] != b"\xd8\x2a":
                raise ValueError(f"a root isn't a CID (at {at})")
            size, at = _head(body, at + 2, 2, "a root's bytes")
            end = at + size
            if end > len(body) or size == 0 or body[at] != 0:
                raise ValueError(f"a root isn't a CID with its zero byte (at {at})")
            if parse_cid(body, at + 1, end).end != end:
                raise ValueError(f"bytes after a root's CID (at {at})")
            roots.append(body[at + 1 : end])
            at = end
    if body[at : at + 8] != b"\x67version":
        raise ValueError(f"the key `version` is missing or misplaced (at {at})")
    version, at = _head(body, at + 8, 0, "the version")
    if keys != 1 + (roots is not None) or at != len(body):
        raise ValueError(f"unexpected content after the version (at {at})")
    if version == 1 and roots is None:
        raise ValueError("the key `roots` is missing")
    return version, tuple(roots or ())
