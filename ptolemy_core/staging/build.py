"""A CAR built into a staging area: beside its place, and under its name when it is complete and synced."""

from collections.abc import Callable

from ptolemy_core.car import BuildOptions, BuiltCar, write_car
from ptolemy_core.car.options import DEFAULT_OPTIONS
from ptolemy_core.layout import Layout
from ptolemy_core.source import Inputs
from ptolemy_core.staging.area import StagingArea


def build_car(
    layout: Layout,
    inputs: Inputs,
    staging_dir: str,
    part_name: str,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    progress: Callable[[int], None] | None = None,
) -> BuiltCar:
    """Build the CAR of a layout into a folder, as `<piece CID v1>.car`.

    Args:
        layout: of the container.
        inputs: of its items.
        staging_dir: an existing folder.
        part_name: `….part`, how the file's name begins until it is complete; the same for each try at one CAR, so
            that a try removes what an earlier one left.
        options: how to build.
        progress: called with bytes of the CAR done since the last call.

    Raises:
        SourceError: a source can't be read or isn't what the scan saw.
        StagingError: the folder hasn't enough free space, or can't be written.
        BusyError: another try still writes this CAR, or took over from this one.
    """
    with StagingArea(staging_dir).attempt(part_name, layout.car_size) as output:
        return write_car(layout, inputs, output, options, progress=progress)
