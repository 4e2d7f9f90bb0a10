"""Random access to a CAR file: sections at known offsets, and an index of all sections on demand.

Specification: https://ipld.io/specs/transport/car/ (CARv1, CARv2). Zeros after the last section, such as a piece's
padding, end the CAR.
"""

import errno
import os
from array import array
from collections.abc import Callable
from os import PathLike, fsdecode
from types import TracebackType
from typing import BinaryIO, Self, cast

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag import varint
from ptolemy_core.reader.car import MAX_SECTION, CarReader
from ptolemy_core.reader.findings import CarError, Code
from ptolemy_core.reader.hashes import IDENTITY, parse_cid
from ptolemy_core.reader.opening import open_regular, size_of
from ptolemy_core.reader.ranges import RangeFile, Ranges
from ptolemy_core.reader.sections import Section

_MAX_PREFETCH = 4 << 20
"""Bytes read in advance when small sections are read in order."""
_HEAD_PREFETCH = 4 << 10
"""Bytes read in advance after a large section, whose successor is likely to be large too."""
_LARGE = 64 << 10
"""Bytes from which a section is large; also the bytes read in advance when sections aren't read in order."""
_HEAD = 128
"""Bytes from a section's start that include its length and any common CID."""
_FIRST = 64
"""Bytes of the first read of ranges: a header with one root, and nothing that may not be readable."""
_LEAST = (_HEAD, 41, 37)
"""Bytes that are tried where more can't be read: of the largest head of a section, and of an empty leaf's section."""
_PREFIXES = (profile_cid.RAW_PREFIX, profile_cid.DAG_PB_PREFIX)

CarFile = str | bytes | PathLike[str] | BinaryIO | Ranges
"""Path of a CAR, or an open file, or what gives ranges of its bytes."""
Index = tuple[NDArray[np.uint64], NDArray[np.int64]]
"""Keys of all blocks' digests, sorted, and the offsets of their sections."""


class SeekableCar:
    """A CAR, version 1 or 2, whose sections are read by offset; blocks aren't checked against their CIDs.

    `pread_into` is thread-safe; the other methods aren't.

    Args:
        path: the file; or an open seekable file with the content of standard input; or what gives ranges of bytes.
        max_section: limit of a section's bytes.

    Attributes:
        name: the file's name as given by the caller.
        header: the CAR's header.
        start: byte offset of the first section.

    Raises:
        CarError: the header is malformed.
        OSError: the file can't be opened or read.
    """

    def __init__(self, path: CarFile, *, max_section: int = MAX_SECTION) -> None:
        if isinstance(path, (str, bytes, PathLike)):
            self.name = fsdecode(path)
            self._file: BinaryIO | RangeFile = open_regular(path)
        elif isinstance(path, Ranges):
            self.name, self._file = path.name, RangeFile(path)
        else:
            self.name, self._file = "standard input", path
        self._max_section = max_section
        self._window = b""
        self._base = 0
        self._last = self._next = 0
        self._prefetch = _LARGE
        self._index: Index | None = None
        self._fault: CarError | None = None
        try:
            first = _FIRST if isinstance(self._file, RangeFile) else _LARGE
            self.size = size_of(cast(BinaryIO, self._file))
            reader = CarReader(
                cast(BinaryIO, self._file), self.name, max_section=max_section, read_size=first
            )
        except BaseException:
            self._file.close()
            raise
        self.header = reader.header
        self.start = reader.first_section
        payload = self.header.payload_size
        self._end = self.size if payload is None else self.header.payload_offset + payload

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def forget(self) -> None:
        """Free the bytes that were read in advance."""
        self._window = b""

    @property
    def indexed(self) -> bool:
        """Whether the index was built, because some block wasn't where it was expected."""
        return self._index is not None

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` with the file's bytes from `offset`; returns the number of bytes read."""
        if isinstance(self._file, RangeFile):
            return self._file.pread_into(buffer, offset)
        done = 0
        while done < len(buffer):
            got = os.preadv(self._file.fileno(), [buffer[done:]], offset + done)
            if not got:
                break
            done += got
        return done

    def read(self, section: Section) -> bytes:
        """A section's data.

        Raises:
            CarError: the file ends inside it.
        """
        at = section.data_offset - self._base
        if at >= 0 and at + section.length <= len(self._window):
            return self._window[at : at + section.length]
        data = self._pread(section.length, section.data_offset)
        if len(data) < section.length:
            raise self._error(Code.TRUNCATED, "the file ends inside a block", section.offset)
        return data

    def section_at(self, offset: int) -> Section | None:
        """The section that starts at this byte offset; None at the CAR's end.

        Raises:
            CarError: it is malformed, too large, or cut off.
        """
        if offset >= self._end:
            return None
        if offset >= self.size:
            raise self._error(Code.TRUNCATED, "the file ends before the CARv2 payload does", offset)
        at = offset - self._base
        if not 0 <= at <= len(self._window) - _HEAD:
            self._prefetch = min(2 * self._prefetch, _MAX_PREFETCH) if offset == self._next else _LARGE
            self._fill(offset, _HEAD_PREFETCH if self._last >= _LARGE else self._prefetch)
            at = 0
        window = self._window
        if not window:
            raise self._error(Code.TRUNCATED, "the file became shorter while it was read", offset)
        length, start = window[at], at + 1
        if length >= 0x80:
            try:
                length, start = varint.decode(window, at)
            except ValueError as error:
                raise self._error(Code.VARINT, f"a section's length: {error}", offset) from None
        if length == 0:
            return None
        if length > self._max_section:
            reason = f"a section of {length} bytes; the limit is {self._max_section}"
            raise self._error(Code.SECTION_TOO_LARGE, reason, offset)
        end = offset + start - at + length
        if end > min(self._end, self.size):
            reason = f"a section of {length} bytes is cut off after {max(0, length - end + self.size)}"
            raise self._error(Code.TRUNCATED, reason, offset)
        self._last, self._next = length, end
        if length >= profile_cid.SIZE and window[start : start + 4] in _PREFIXES:
            after = start + profile_cid.SIZE
        else:
            if length > len(window) - start:
                self._fill(offset, start - at + length)  # a CID may be as long as its section
                window, start, at = self._window, start - at, 0
            try:
                after = parse_cid(window, start, start + length).end
            except ValueError as error:
                raise self._error(Code.CID, f"a section's CID: {error}", offset) from None
        return Section(offset, window[start:after], offset + after - at, start + length - after)

    @property
    def is_remote(self) -> bool:
        """Whether each byte that is read has to be transferred from a server that may be wrong."""
        return isinstance(self._file, RangeFile) and self._file.is_remote

    def distrust(self) -> bool:
        """Say that what this thread read last is wrong; whether the same can be read from elsewhere."""
        self.forget()
        return isinstance(self._file, RangeFile) and self._file.distrust()

    def leaf_at(self, offset: int, cid: bytes, length: int) -> Section:
        """The section of a leaf whose size is known, without reading it: that it is there, its bytes must show."""
        return Section(offset, cid, offset + varint.length(len(cid) + length) + len(cid), length)

    def find(self, cid: bytes) -> Section | None:
        """Any section whose CID has the same multihash; the first call reads the whole file to build the index.

        Raises:
            CarError: a section in the index can no longer be read.
        """
        keys, offsets = self.index()
        key = np.uint64(index_key(cid))
        at = int(np.searchsorted(keys, key))
        while at < len(keys) and keys[at] == key:
            section = self.section_if(int(offsets[at]), cid)
            if section is not None:
                return section
            at += 1
        return None

    def section_if(self, offset: int, cid: bytes) -> Section | None:
        """The section at this offset, if its CID has the same multihash as `cid`.

        Raises:
            CarError: it can't be read.
        """
        section = self.section_at(offset)
        return section if section is not None and _multihash(section.cid) == _multihash(cid) else None

    @property
    def fault(self) -> CarError | None:
        """The error at which building the index stopped, if it didn't reach the CAR's end; builds the index."""
        self.index()
        return self._fault

    def index(self) -> Index:
        """Sixteen bytes per section: a key of its digest, sorted, and its offset; built at the first call."""
        if self._index is None:
            keys, offsets = array("Q"), array("q")

            def note(section: Section) -> None:
                hashed, digest = _multihash(section.cid)
                if hashed != IDENTITY:
                    keys.append(_key(digest))
                    offsets.append(section.offset)

            self._fault = self._scan(self.start, note)
            known = np.frombuffer(keys, dtype=np.uint64) if keys else np.empty(0, dtype=np.uint64)
            where = np.frombuffer(offsets, dtype=np.int64) if offsets else np.empty(0, dtype=np.int64)
            order = np.argsort(known, kind="stable")
            self._index = known[order], where[order]
        return self._index

    def drop_index(self) -> None:
        """Free the index's memory, if the caller keeps its own copy."""
        self._index = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)

    def damage(self, reached: int) -> CarError | None:
        """Why the file isn't a complete CAR: a section is cut off, or bytes other than zeros follow the last one.

        Args:
            reached: byte offset up to which sections were already read and are well-formed.
        """
        return self._fault if self.indexed else self._scan(max(reached, self.start), lambda section: None)

    def _scan(self, at: int, note: Callable[[Section], None]) -> CarError | None:
        """Read the sections from an offset to the CAR's end; returns the error if there is one."""
        try:
            while (section := self.section_at(at)) is not None:
                note(section)
                at = section.data_offset + section.length
        except CarError as error:
            return error
        return self.rubbish(at)

    def rubbish(self, offset: int) -> CarError | None:
        """An error for the first byte at or after `offset` that isn't zero; None if all are. Skips holes."""
        end = min(self._end, self.size)
        while offset < end:
            try:
                if not isinstance(self._file, RangeFile):
                    offset = os.lseek(self._file.fileno(), offset, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    break  # only a hole is left
            data = self._pread(min(_MAX_PREFETCH, end - offset), offset)
            if not data:
                break
            zeros = len(data) - len(data.lstrip(b"\0"))
            if zeros < len(data):
                reason = f"{end - offset - zeros:,} bytes after the last block that aren't a block"
                return self._error(Code.TRAILING_BYTES, reason, offset + zeros)
            offset += len(data)
        return None

    def _fill(self, offset: int, size: int) -> None:
        most = max(_HEAD, min(size, self._end - offset))
        if isinstance(self._file, RangeFile):
            most = max(_HEAD, self._file.worth(most, offset))
        for wanted in (most, *(least for least in _LEAST if least < most)):
            try:
                self._window, self._base = self._pread(wanted, offset), offset
                return
            except OSError:
                if wanted == _LEAST[-1] or not isinstance(self._file, RangeFile):
                    raise  # of ranges, the next section may be what can't be read

    def _pread(self, size: int, offset: int) -> bytes:
        if isinstance(self._file, RangeFile):
            return self._file.pread(size, offset)
        return os.pread(self._file.fileno(), size, offset)

    def _error(self, code: Code, reason: str, offset: int) -> CarError:
        return CarError(code, reason, self.name, offset)


def _multihash(cid: bytes) -> tuple[int, bytes]:
    if cid[:4] in _PREFIXES:
        return 0x12, cid[4:]
    parsed = parse_cid(cid)
    return parsed.hash, parsed.digest


def index_key(cid: bytes) -> int:
    """The key of a CID's digest in an index."""
    return _key(_multihash(cid)[1])


def _key(digest: bytes) -> int:
    # Python's hash is randomized per process, so nobody can construct many digests with the same key
    return hash(digest) & 0xFFFF_FFFF_FFFF_FFFF
