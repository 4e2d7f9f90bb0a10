"""The links of a dag-pb node: each one, and those of a large node as columns.

Specification: https://ipld.io/specs/codecs/dag-pb/spec/
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

from ptolemy_core.dag import cid as profile_cid
from ptolemy_core.kernel.blocks import LinkColumns


class Link(NamedTuple):
    """A dag-pb link: the binary CID, the name's bytes and the Tsize; None if the field is absent."""

    cid: bytes
    name: bytes | None
    tsize: int | None


class LinkRun(Sequence[Link]):
    """All links of a node, where each has a CID of the profile, a Name and a Tsize.

    Attributes:
        columns: their positions in the node; each `Link` is made when it is asked for.
    """

    __slots__ = ("columns",)

    def __init__(self, columns: LinkColumns) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns.cids)

    @overload
    def __getitem__(self, index: int) -> Link: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Link, ...]: ...

    def __getitem__(self, index: int | slice) -> Link | tuple[Link, ...]:
        of = self.columns
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        return self._link(
            int(of.cids[index]), int(of.names[index]), int(of.name_ends[index]), int(of.tsizes[index])
        )

    def __iter__(self) -> Iterator[Link]:
        of = self.columns
        columns = (of.cids.tolist(), of.names.tolist(), of.name_ends.tolist(), of.tsizes.tolist())
        for cid, name, end, tsize in zip(*columns, strict=True):
            yield self._link(cid, name, end, tsize)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def names(self, first: int, count: int) -> list[bytes]:
        """The names of some consecutive links."""
        of = self.columns
        block = of.block
        starts, ends = of.names[first : first + count].tolist(), of.name_ends[first : first + count].tolist()
        return [block[start:end] for start, end in zip(starts, ends, strict=True)]

    def _link(self, cid: int, name: int, end: int, tsize: int) -> Link:
        block = self.columns.block
        return Link(block[cid : cid + profile_cid.SIZE], block[name:end], tsize)
