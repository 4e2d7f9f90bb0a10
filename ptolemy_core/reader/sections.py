"""Sections of a CAR as they are read: one by one, and many at once as columns.

Specification: https://ipld.io/specs/transport/car/carv1/
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.kernel import Buffer
from ptolemy_core.kernel.blocks import SectionColumns, car_sections


class Section(NamedTuple):
    """The position of a section: its byte offset, its binary CID, and the offset and length of its data."""

    offset: int
    cid: bytes
    data_offset: int
    length: int


class Block(NamedTuple):
    """One section with its data."""

    offset: int
    cid: bytes
    data: bytes


class SectionRun(Sequence[Section]):
    """Consecutive sections with CIDs of the profile; each `Section` is made when it is asked for.

    Attributes:
        columns: their positions in the buffer.
        end: offset in the buffer after them.
    """

    __slots__ = ("_base", "_buffer", "columns", "end")

    def __init__(self, buffer: Buffer, base: int, columns: SectionColumns) -> None:
        """Sections at these positions in a buffer whose first byte is byte `base` of the file."""
        self._buffer = buffer
        self._base = base
        self.columns = columns
        self.end = int(columns.ends[-1])

    @classmethod
    def at_start(cls, buffer: Buffer, base: int, limit: int) -> "SectionRun | None":
        """The sections at the start of a buffer, of at most `limit` bytes each; None if there are none."""
        columns = car_sections(buffer, limit)
        return None if columns is None else cls(buffer, base, columns)

    def __len__(self) -> int:
        return len(self.columns.ends)

    @overload
    def __getitem__(self, index: int) -> Section: ...

    @overload
    def __getitem__(self, index: slice) -> list[Section]: ...

    def __getitem__(self, index: int | slice) -> Section | list[Section]:
        of = self.columns
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._section(int(of.starts[index]), int(of.contents[index]), int(of.ends[index]))

    def __iter__(self) -> Iterator[Section]:
        of = self.columns
        for start, content, end in zip(
            of.starts.tolist(), of.contents.tolist(), of.ends.tolist(), strict=True
        ):
            yield self._section(start, content, end)

    def size(self, first: int, count: int) -> int:
        """Bytes of data of some consecutive sections."""
        of, taken = self.columns, slice(first, first + count)
        return int((of.ends[taken] - of.contents[taken]).sum())

    def files(self, first: int, count: int) -> tuple[list[int], list[bytes], list[int]]:
        """Sizes of data, CIDs and offsets in the CAR of some consecutive sections."""
        of, taken = self.columns, slice(first, first + count)
        contents, buffer = of.contents[taken], self._buffer
        cids = [bytes(buffer[at - profile_cid.SIZE : at]) for at in contents.tolist()]
        return (of.ends[taken] - contents).tolist(), cids, (of.starts[taken] + self._base).tolist()

    def _section(self, start: int, content: int, end: int) -> Section:
        cid = bytes(self._buffer[content - profile_cid.SIZE : content])
        return Section(self._base + start, cid, self._base + content, end - content)


class Batch(NamedTuple):
    """Consecutive complete sections in `buffer`, whose first byte is byte `base` of the file.

    The buffer's memory isn't used for other bytes of the file as long as there is a reference to it.
    """

    buffer: Buffer
    base: int
    sections: Sequence[Section]

    def data(self, section: Section) -> bytes:
        """The data of one of its sections."""
        at = section.data_offset - self.base
        return bytes(self.buffer[at : at + section.length])
