"""Building a CAR into a staging area: as a part file, renamed when it is complete and synced."""

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
        part_name: `….part`, from which the part file's name is made; the same for each attempt at a CAR, so that an
            attempt removes the leftovers of earlier ones.
        options: how to build.
        progress: called with the bytes of the CAR done since the last call.

    Raises:
        SourceError: a source can't be read or changed since the scan.
        StagingError: the folder doesn't have enough free space, or isn't writable.
        BusyError: another attempt still writes this CAR, or took over from this one.
    """
    with StagingArea(staging_dir).attempt(part_name, layout.car_size) as output:
        return write_car(layout, inputs, output, options, progress=progress)
