"""A CAR file read at any place: sections where a caller expects them, and an index of them all on demand.

Specification: https://ipld.io/specs/transport/car/ (CARv1, CARv2). Zeros behind the last section, such as a
piece's padding, end it.
"""

import os
from array import array
from functools import cached_property
from os import PathLike, fsdecode
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.dag import varint
from ptolemy_core.reader.car import MAX_SECTION, CarReader, Section
from ptolemy_core.reader.findings import CarError, Code
from ptolemy_core.reader.hashes import IDENTITY, parse_cid

_NEAR, _FAR = 4 << 20, 4 << 10
"""Bytes read ahead among small sections, and where the next one is likely to lie far on."""
_FAR_FROM = 64 << 10
_HEAD = 128
"""Bytes of a section's beginning that hold its length and any usual CID."""
_PREFIXES = (profile_cid.RAW_PREFIX, profile_cid.DAG_PB_PREFIX)


class SeekableCar:
    """A CAR, version 1 or 2, whose sections are read at their offsets; no block is checked against its CID.

    `pread_into` may be called by any thread, all else by one at a time.

    Args:
        path: the file.
        max_section: bytes that a section may have.

    Attributes:
        name: the file's name as it was given.
        header: what stands before the sections.
        start: byte offset of the first section.

    Raises:
        CarError: the header is malformed.
        OSError: the file can't be opened or read.
    """

    def __init__(self, path: str | bytes | PathLike[str], *, max_section: int = MAX_SECTION) -> None:
        self.name = fsdecode(path)
        self._max_section = max_section
        self._window = b""
        self._base = 0
        self._last = 0
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 (closed by `close`)
        try:
            reader = CarReader(self._file, self.name, max_section=max_section, read_size=_FAR_FROM)
            self.size = os.fstat(self._file.fileno()).st_size
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
        """Let go of what was read ahead."""
        self._window = b""

    @property
    def indexed(self) -> bool:
        """Whether the index was made: some block didn't stand where it was expected."""
        return "_index" in self.__dict__

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill `buffer` with the file's bytes from `offset`; returns how many there were."""
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
        data = os.pread(self._file.fileno(), section.length, section.data_offset)
        if len(data) < section.length:
            raise self._error(Code.TRUNCATED, "the file ends inside a block", section.offset)
        return data

    def section_at(self, offset: int) -> Section | None:
        """The section that begins at this byte offset; None at the CAR's end.

        Raises:
            CarError: it is malformed, too large, or cut off.
        """
        if offset >= self._end:
            return None
        if offset >= self.size:
            raise self._error(Code.TRUNCATED, "the file ends before the CARv2 payload does", offset)
        at = offset - self._base
        if not 0 <= at <= len(self._window) - _HEAD:
            self._fill(offset, _FAR if self._last >= _FAR_FROM else _NEAR)
            at = 0
        window = self._window
        length, start = window[at], at + 1
        if length >= 0x80:
            try:
                length, start = varint.decode(window, at)
            except ValueError as error:
                raise self._error(Code.VARINT, f"a section's length: {error}", offset) from None
        if length == 0:
            return None
        if length > self._max_section:
            reason = f"a section of {length} bytes; at most {self._max_section} are read"
            raise self._error(Code.SECTION_TOO_LARGE, reason, offset)
        end = offset + start - at + length
        if end > min(self._end, self.size):
            reason = f"a section of {length} bytes, of which {max(0, length - end + self.size)} are there"
            raise self._error(Code.TRUNCATED, reason, offset)
        self._last = length
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

    def end_of(self, section: Section) -> int:
        """The byte offset behind a section."""
        return section.data_offset + section.length

    def find(self, cid: bytes) -> Section | None:
        """Any section whose CID has the same multihash; looks through the whole file once, at the first call.

        Raises:
            CarError: a section found by the index can't be read any more.
        """
        keys, offsets = self._index[0]
        hashed, digest = _multihash(cid)
        key = np.uint64(_key(digest))
        at = int(np.searchsorted(keys, key))
        while at < len(keys) and keys[at] == key:
            section = self.section_at(int(offsets[at]))
            if section is not None and _multihash(section.cid) == (hashed, digest):
                return section
            at += 1
        return None

    @property
    def fault(self) -> CarError | None:
        """What the index's reading ended at, if not at the CAR's end; makes the index."""
        return self._index[1]

    @cached_property
    def _index(self) -> tuple[tuple[NDArray[np.uint64], NDArray[np.int64]], CarError | None]:
        """Sixteen bytes a section: the beginning of its digest and its offset, sorted; and what ended it."""
        keys, offsets = array("Q"), array("q")
        fault: CarError | None = None
        at = self.start
        try:
            while (section := self.section_at(at)) is not None:
                hashed, digest = _multihash(section.cid)
                if hashed != IDENTITY:
                    keys.append(_key(digest))
                    offsets.append(at)
                at = section.data_offset + section.length
        except CarError as error:
            fault = error
        known = np.frombuffer(keys, dtype=np.uint64) if keys else np.empty(0, dtype=np.uint64)
        where = np.frombuffer(offsets, dtype=np.int64) if offsets else np.empty(0, dtype=np.int64)
        order = np.argsort(known, kind="stable")
        return (known[order], where[order]), fault

    def _fill(self, offset: int, size: int) -> None:
        size = max(_HEAD, min(size, self._end - offset))
        self._window, self._base = os.pread(self._file.fileno(), size, offset), offset

    def _error(self, code: Code, reason: str, offset: int) -> CarError:
        return CarError(code, reason, self.name, offset)


def _multihash(cid: bytes) -> tuple[int, bytes]:
    if cid[:4] in _PREFIXES:
        return 0x12, cid[4:]
    parsed = parse_cid(cid)
    return parsed.hash, parsed.digest


def _key(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big")
