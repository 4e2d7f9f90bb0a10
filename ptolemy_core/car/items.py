"""The records of a built CAR's items, as columns: a container may have millions of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.dag import cid
from ptolemy_core.layout import WHOLE, Block, Layout
from ptolemy_core.source import Inputs, State

_PAGE = 20_000
"""Records that are made at once where all are wanted."""

_PREFIXES = np.frombuffer(cid.RAW_PREFIX + cid.DAG_PB_PREFIX, dtype=np.uint8).reshape(2, -1)


class BuiltItem(NamedTuple):
    """The record of one item of a built CAR.

    Attributes:
        cid: binary CID of the item (for a shard: as a file of its own).
        car_offset: offset in the CAR of its first section, in bytes.
        nodes: digests of a shard's lowest file nodes (or of its only leaf), 32 bytes each; the whole file's CID is
            stitched from these. Empty for whole files.
        state: the file's state when the build read it, if the source has states: see `source.State`.
    """

    cid: bytes
    car_offset: int
    nodes: bytes
    state: State | None = None


@dataclass(frozen=True, slots=True, eq=False)
class BuiltItems(Sequence[BuiltItem]):
    """All records of a CAR, in order: a record is made when it is asked for.

    Attributes:
        roots: the root block of each.
        kinds, offsets, digests: of all blocks: `Block`, `car_offset`, and sha2-256, a row each.
        nodes: of shards, by index.
        known: which of them have a state.
        states: the two numbers of each one's.
    """

    roots: NDArray[np.int32]
    kinds: NDArray[np.int8]
    offsets: NDArray[np.int64]
    digests: NDArray[np.uint8]
    nodes: Mapping[int, bytes]
    known: NDArray[np.bool_]
    states: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.roots)

    @overload
    def __getitem__(self, at: int) -> BuiltItem: ...

    @overload
    def __getitem__(self, at: slice) -> list[BuiltItem]: ...

    def __getitem__(self, at: int | slice) -> BuiltItem | list[BuiltItem]:
        numbers = range(len(self))[at]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        return next(self._between(numbers, numbers + 1))

    def __iter__(self) -> Iterator[BuiltItem]:
        for low in range(0, len(self), _PAGE):
            yield from self._between(low, min(low + _PAGE, len(self)))

    def _between(self, low: int, high: int) -> Iterator[BuiltItem]:
        roots, size = self.roots[low:high], cid.SIZE
        is_node = (self.kinds[roots] != Block.LEAF).astype(np.int64)
        cids = np.hstack([_PREFIXES[is_node], self.digests[roots]]).tobytes()
        columns = (self.offsets[roots], self.known[low:high], *self.states[low:high].T)
        for k, offset, known, *state in zip(range(low, high), *(c.tolist() for c in columns), strict=True):
            own = cids[(k - low) * size : (k - low + 1) * size]
            yield BuiltItem(own, offset, self.nodes.get(k, b""), (state[0], state[1]) if known else None)

    def __repr__(self) -> str:
        return repr(list(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]


def built_items(layout: Layout, inputs: Inputs, digests: NDArray[np.uint8]) -> BuiltItems:
    """The records of a CAR's items, from the digests of all its blocks."""
    roots = layout.roots
    known, states = inputs.state_columns()
    return BuiltItems(
        roots=roots,
        kinds=layout.kind,
        offsets=layout.offset,
        digests=digests,
        nodes={
            k: _lowest_nodes(layout, int(roots[k]), digests)
            for k in np.flatnonzero(inputs.items.shards != WHOLE).tolist()
        },
        known=known,
        states=states,
    )


def _lowest_nodes(layout: Layout, root: int, digests: NDArray[np.uint8]) -> bytes:
    """Digests of the nodes directly above a shard's leaves; of the leaf itself if there is only one."""
    blocks = slice(root, root + int(layout.count[root]))
    if layout.count[root] == 1:
        return bytes(digests[root])
    is_node = layout.kind[blocks] == Block.FILE
    first_child_is_leaf = np.append(~is_node[1:], False)
    return bytes(digests[blocks][is_node & first_child_is_leaf])
