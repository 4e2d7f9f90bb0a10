"""Writing a whole CAR: filled, synced, and named by its piece CID when complete.

Container: CARv1, https://ipld.io/specs/transport/car/carv1/. File name: `<piece CID v1>.car`.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core import commp
from ptolemy_core.car import nodes
from ptolemy_core.car.fill import fill
from ptolemy_core.car.items import BuiltItem, built_items
from ptolemy_core.car.options import DEFAULT_OPTIONS, BuildOptions
from ptolemy_core.car.output import Output
from ptolemy_core.car.readback import is_deferred, read_back
from ptolemy_core.dag import cid
from ptolemy_core.layout import Layout
from ptolemy_core.source import Inputs


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
    items: Sequence[BuiltItem]


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
    unit = options.unit_of(layout)
    piece = commp.PieceTree(layout.car_size, unit)
    lock = threading.Lock()

    def commit(number: int, data: memoryview) -> None:
        subtree = piece.subtree_root_of(data)
        with lock:
            piece.set(number, subtree)

    def close(number: int, data: memoryview) -> None:
        output.write(data, number * unit)
        if not (options.sha256 and is_deferred(number)):
            commit(number, data)

    digests = fill(layout, inputs, close, options, progress=progress)
    if digests_known:
        digests_known(digests)
    output.sync()
    digest = read_back(output, layout.car_size, unit, commit) if options.sha256 else None
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
