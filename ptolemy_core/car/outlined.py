"""A CAR built without a file of its own: read and hashed once, and only its outline is kept."""

import mmap
import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car.build import BuiltCar, write_car
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.options import DEFAULT_OPTIONS, BuildOptions
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outline_file import replace_for_good, write_outline_to
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.errors import BusyError, OutlineError
from ptolemy_core.layout import Layout
from ptolemy_core.source import Inputs

_CAR, _OUTLINE = ".car", ".outline"
_TOUCH = 5.0
"""Seconds after which a build that still runs shows so."""


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
    part = os.path.join(folder, f".{secrets.token_hex(8)}{_OUTLINE}.part")
    with open(part, "xb") as file:
        output = OutlineOutput(file, part, layout, inputs, profile)
        try:
            return write_car(
                layout, inputs, output, options, progress=progress, digests_known=output.take_digests
            )
        finally:
            output.close()
            with suppress(FileNotFoundError):
                os.unlink(part)


class OutlineOutput:
    """An `Output` that keeps no bytes of the CAR but its outline; what is read back is generated from the source.

    Args:
        file: open, empty, for writing; with a name of its own until the outline is published.
        path: of it; afterwards an attribute.
        layout: of the CAR.
        inputs: of its items.
        profile: that the layout was made with.
    """

    def __init__(
        self, file: BinaryIO, path: str, layout: Layout, inputs: Inputs, profile: Profile = UNIXFS_V1_2025
    ) -> None:
        self.path = path
        self._file = file
        self._layout = layout
        self._inputs = inputs
        self._profile = profile
        self._car: GeneratedCar | None = None
        self._touched = 0.0

    def take_digests(self, digests: NDArray[np.uint8]) -> None:
        """Write the outline, once all blocks' digests are known; it is synced, but hasn't its name yet."""
        write_outline_to(self._file, self._layout, self._inputs, digests, self._profile)

    def write(self, data: memoryview, offset: int) -> None:
        """Keep nothing; the file's time shows that the build is alive."""
        now = time.monotonic()
        if now - self._touched > _TOUCH:
            self._touched = now
            os.utime(self._file.fileno())

    def close_unit(self, number: int, data: memoryview) -> None:
        """Take a unit of a fill as `write` takes bytes."""
        self.write(data, 0)

    def sync(self) -> None:
        """The outline is synced when it is written."""

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        """Generate bytes of the CAR; raises as `GeneratedCar.read_into`."""
        if self._car is None:
            try:
                self._car = GeneratedCar(Outline(self.path), self._inputs.source)
            except OutlineError:
                if not os.path.exists(self.path):
                    raise taken_over(self.path) from None
                raise
        view = memoryview(buffer)[:size]
        self._car.read_into(offset, view)
        return view

    def publish(self, name: str) -> None:
        """Give the outline the name of this CAR.

        Raises:
            BusyError: a later attempt took over.
        """
        try:
            replace_for_good(self.path, os.path.join(os.path.dirname(self.path), outline_name(name)))
        except FileNotFoundError:
            raise taken_over(name) from None

    def close(self) -> None:
        """Close what was opened for reading back."""
        if self._car is not None:
            self._car.close()


def taken_over(name: str) -> BusyError:
    """A later attempt removed what this one wrote."""
    return BusyError(f"{name} is being built by another process, which took over from this one")
