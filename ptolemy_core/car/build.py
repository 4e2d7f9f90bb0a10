"""Writing a whole CAR: filled, synced, and named by its piece CID when complete.

Container: CARv1, https://ipld.io/specs/transport/car/carv1/. File name: `<piece CID v1>.car`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import commp
from ptolemy_core.car import nodes
from ptolemy_core.car.fill import fill
from ptolemy_core.car.options import DEFAULT_OPTIONS, BuildOptions
from ptolemy_core.car.output import Output
from ptolemy_core.car.readback import is_deferred, read_back
from ptolemy_core.dag import cid
from ptolemy_core.layout import WHOLE, Block, Layout
from ptolemy_core.source import Inputs, State


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


@dataclass(frozen=True, slots=True)
class BuiltCar:
    """A complete CAR.

    Attributes:
        file_name: its name, `<piece CID v1>.car`.
        payload_cid, piece_cid_v1, piece_cid_v2: binary CIDs.
        car_size, piece_size: bytes, before and after padding.
        sha256: digest of the CAR's bytes, if requested.
        items: one per item of the container, in order.
    """

    file_name: str
    payload_cid: bytes
    piece_cid_v1: bytes
    piece_cid_v2: bytes
    car_size: int
    piece_size: int
    sha256: bytes | None
    items: list[BuiltItem]


def write_car(
    layout: Layout,
    inputs: Inputs,
    output: Output,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[int], None] | None = None,
    digests_known: Callable[[NDArray[np.uint8]], None] | None = None,
    complete: Callable[[BuiltCar], None] | None = None,
) -> BuiltCar:
    """Write the CAR of a layout into `output`, and publish it under the CAR's name.

    Args:
        layout: of the container.
        inputs: of its items.
        output: receives the bytes, `layout.car_size` in total.
        options: how to build.
        progress: called with the bytes of the CAR done since the last call.
        digests_known: called with the digests of all blocks, as `fill` returns them, before `output.sync`.
        complete: called with the complete CAR before it gets its name; if it raises, the CAR gets none.

    Raises:
        SourceError: a source can't be read or changed since the scan.
        OSError: writing to the output failed.
    """
    piece = commp.PieceTree(layout.car_size, options.unit)
    lock = threading.Lock()

    def commit(number: int, data: memoryview) -> None:
        subtree = piece.subtree_root_of(data)
        with lock:
            piece.set(number, subtree)

    def close(number: int, data: memoryview) -> None:
        output.write(data, number * options.unit)
        if not (options.sha256 and is_deferred(number)):
            commit(number, data)

    digests = fill(layout, inputs, close, options, progress=progress)
    if digests_known:
        digests_known(digests)
    output.sync()
    digest = read_back(output, layout.car_size, options.unit, commit) if options.sha256 else None
    root = piece.digest()
    v1 = commp.piece_cid_v1(root)
    built = BuiltCar(
        file_name=cid.to_text(v1) + ".car",
        payload_cid=nodes.block_cid(layout, 0, digests[0].tobytes()),
        piece_cid_v1=v1,
        piece_cid_v2=commp.piece_cid_v2(root, layout.car_size),
        car_size=layout.car_size,
        piece_size=piece.piece_size,
        sha256=digest,
        items=built_items(layout, inputs, digests),
    )
    if complete:
        complete(built)
    output.publish(built.file_name)
    return built


def built_items(layout: Layout, inputs: Inputs, digests: NDArray[np.uint8]) -> list[BuiltItem]:
    """The records of a CAR's items, from the digests of all its blocks."""
    roots = layout.roots
    prefix = np.frombuffer(cid.RAW_PREFIX + cid.DAG_PB_PREFIX, dtype=np.uint8).reshape(2, -1)
    is_node = (layout.kind[roots] != Block.LEAF).astype(np.int64)
    cids = np.hstack([prefix[is_node], digests[roots]]).tobytes()
    out = [
        BuiltItem(cids[at : at + cid.SIZE], offset, b"", state)
        for at, offset, state in zip(
            range(0, len(cids), cid.SIZE), layout.offset[roots].tolist(), inputs.states(), strict=True
        )
    ]
    for k in np.flatnonzero(inputs.items.shards != WHOLE).tolist():
        out[k] = out[k]._replace(nodes=_lowest_nodes(layout, int(roots[k]), digests))
    return out


def _lowest_nodes(layout: Layout, root: int, digests: NDArray[np.uint8]) -> bytes:
    """Digests of the nodes directly above a shard's leaves; of the leaf itself if there is only one."""
    blocks = slice(root, root + int(layout.count[root]))
    if layout.count[root] == 1:
        return bytes(digests[root])
    is_node = layout.kind[blocks] == Block.FILE
    first_child_is_leaf = np.append(~is_node[1:], False)
    return bytes(digests[blocks][is_node & first_child_is_leaf])
