"""A CAR built without a file of its own: read and hashed once, and only its outline is kept."""

import mmap
import os
import secrets
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car.build import BuiltCar, write_car
from ptolemy_core.car.fill import fill
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.nodes import block_cid
from ptolemy_core.car.options import DEFAULT_OPTIONS, BuildOptions
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outline_file import replace_for_good, write_outline
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import SourceChangedError
from ptolemy_core.layout import Layout
from ptolemy_core.source import Inputs

_CAR, _OUTLINE = ".car", ".outline"


def outline_name(car_name: str) -> str:
    """The name of the outline of a CAR of this file name: `<piece CID v1>.outline`."""
    return car_name.removesuffix(_CAR) + _OUTLINE


def outline_car(
    layout: Layout,
    inputs: Inputs,
    folder: str,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> BuiltCar:
    """Make the CAR of a layout as `write_car` does, but keep only its outline, as `<piece CID v1>.outline`.

    Args:
        layout: of the container.
        inputs: of its items.
        folder: for the outline.
        options: how to build; with `sha256` the source is read twice.
        profile: that the layout was made with.
        progress: called with bytes of the CAR done since the last call.

    Raises:
        SourceError: a source can't be read or isn't what the scan saw.
        OSError: the folder can't be written.
    """
    output = OutlineOutput(layout, inputs, folder, profile)
    try:
        return write_car(
            layout, inputs, output, options, progress=progress, digests_known=output.take_digests
        )
    finally:
        output.close()


def rebuild_outline(
    path: str,
    layout: Layout,
    inputs: Inputs,
    payload_cid: bytes,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    profile: Profile = UNIXFS_V1_2025,
) -> None:
    """Write the outline of a CAR again from its source, which the CAR's payload CID proves to be the same.

    Args:
        path: of the outline.
        layout: of the CAR.
        inputs: of its items.
        payload_cid: binary CID of the CAR's root.
        options: how to read.
        profile: that the layout was made with.

    Raises:
        SourceChangedError: the source gives another CAR.
        SourceError: a source can't be read or isn't what the scan saw.
        OSError: the outline can't be written.
    """
    digests = fill(layout, inputs, lambda number, data: None, options)
    found = block_cid(layout, 0, digests[0].tobytes())
    if found != payload_cid:
        reason = f"gives a CAR with the payload CID {cid.to_text(found)}, not {cid.to_text(payload_cid)}"
        raise SourceChangedError(
            f"the outline {path} can't be rebuilt: the source {reason}. A file changed since the CAR was built: "
            "scan again, then containerize and blitz",
            reason=reason,
        )
    write_outline(path, layout, inputs, digests, profile)


class OutlineOutput:
    """An `Output` that keeps no bytes of the CAR but its outline; what is read back is generated from the source."""

    def __init__(
        self, layout: Layout, inputs: Inputs, folder: str, profile: Profile = UNIXFS_V1_2025
    ) -> None:
        self._layout = layout
        self._inputs = inputs
        self._folder = folder
        self._profile = profile
        self._part = os.path.join(folder, f".{secrets.token_hex(8)}{_OUTLINE}.part")
        self._car: GeneratedCar | None = None

    def take_digests(self, digests: NDArray[np.uint8]) -> None:
        """Write the outline, once all blocks' digests are known; it hasn't its name yet."""
        write_outline(self._part, self._layout, self._inputs, digests, self._profile)

    def write(self, data: memoryview, offset: int) -> None:
        """Keep nothing."""

    def sync(self) -> None:
        """The outline is synced when it is written."""

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        """Generate bytes of the CAR; raises as `GeneratedCar.read_into`."""
        if self._car is None:
            self._car = GeneratedCar(Outline(self._part), self._inputs.source)
        view = memoryview(buffer)[:size]
        self._car.read_into(offset, view)
        return view

    def publish(self, name: str) -> None:
        """Give the outline the name of this CAR."""
        replace_for_good(self._part, os.path.join(self._folder, outline_name(name)))

    def close(self) -> None:
        """Remove an outline that wasn't published."""
        if self._car is not None:
            self._car.close()
        with suppress(FileNotFoundError):
            os.unlink(self._part)
