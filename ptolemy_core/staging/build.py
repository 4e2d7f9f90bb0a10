"""Building a CAR into a staging area: as a part file, renamed when it is complete and synced; or only its outline."""

import mmap
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.car import BuildOptions, BuiltCar, write_car
from ptolemy_core.car.options import DEFAULT_OPTIONS
from ptolemy_core.car.outlined import OutlineOutput
from ptolemy_core.car.output import Output
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout import Layout
from ptolemy_core.source import Inputs
from ptolemy_core.staging.area import StagingArea
from ptolemy_core.staging.outlines import partial_outline
from ptolemy_core.staging.store import StoreArea, read_in_order


@dataclass(frozen=True, slots=True)
class Kept:
    """What a build keeps of a CAR.

    Attributes:
        car: its file, `<piece CID v1>.car`.
        outline: its outline, `outlines/<project>/<piece CID v1>.outline`. With both, the outline is complete and
            synced under its name before the CAR gets its own.
        project: whose outline it is; that of the same CAR from another source has other times and paths.
        profile: that the layout was made with; only an outline needs it.
        complete: called with the complete CAR before anything of it gets its name.
    """

    car: bool = True
    outline: bool = False
    project: str = ""
    profile: Profile = UNIXFS_V1_2025
    complete: Callable[[BuiltCar], None] | None = None


STAGED = Kept()
GENERATED = Kept(car=False, outline=True)


def build_car(
    layout: Layout,
    inputs: Inputs,
    place: str | StagingArea | StoreArea,
    part_name: str,
    options: BuildOptions = DEFAULT_OPTIONS,
    *,
    kept: Kept = STAGED,
    progress: Callable[[int], None] | None = None,
) -> BuiltCar:
    """Build the CAR of a layout into a folder or an object store.

    For a store it is read for its name and its outline, which this machine's folder holds meanwhile. The outline is
    sent if it is to be kept, and then the CAR: it is read again, to be sent in order. What already exists there isn't
    sent again.

    Args:
        layout: of the container.
        inputs: of its items.
        place: the staging area; or an existing folder.
        part_name: `….part`, from which the part file's name is made; the same for each attempt at a CAR, so that an
            attempt removes the leftovers of earlier ones.
        options: how to build.
        kept: whether the CAR's file is kept, or its outline, or both.
        progress: called with the bytes of the CAR done since the last call.

    Raises:
        SourceError: a source can't be read or changed since the scan.
        StagingError: the folder doesn't have enough free space, or isn't writable; or the store isn't.
        BusyError: another attempt still writes this CAR, or took over from this one.
    """
    area = StagingArea(place) if isinstance(place, str) else place
    target = _Target(layout, inputs, part_name, kept, progress)
    opened = _in_store(area, target) if isinstance(area, StoreArea) else _in_folder(area, target)
    with opened as outputs:
        return write_car(
            layout,
            inputs,
            outputs.car,
            options,
            progress=outputs.progress,
            digests_known=outputs.digests_known,
            complete=kept.complete,
        )


@dataclass(frozen=True, slots=True)
class _Target:
    """What is written: the parameters of `build_car` that say so."""

    layout: Layout
    inputs: Inputs
    part_name: str
    kept: Kept
    progress: Callable[[int], None] | None

    def outline(self, area: StagingArea | StoreArea) -> AbstractContextManager[OutlineOutput]:
        """The outline of the CAR, on this machine until it is complete."""
        folder = area.outline_scratch(self.kept.project)
        return partial_outline(folder, self.part_name, self.layout, self.inputs, self.kept.profile)


@dataclass(frozen=True, slots=True)
class _Outputs:
    """Where a CAR goes, who takes its blocks' digests, and who is told of progress."""

    car: Output
    digests_known: Callable[[NDArray[np.uint8]], None] | None
    progress: Callable[[int], None] | None


@contextmanager
def _in_store(area: StoreArea, target: _Target) -> Iterator[_Outputs]:
    size, kept, progress = target.layout.car_size, target.kept, target.progress
    halves = Halves(size, progress) if progress and kept.car else None
    with target.outline(area) as outline:
        sent = _Sent(outline, area, size, kept, halves)
        yield _Outputs(sent, outline.take_digests, halves.advance if halves else progress)


@contextmanager
def _in_folder(area: StagingArea, target: _Target) -> Iterator[_Outputs]:
    with ExitStack() as stack:
        outline = stack.enter_context(target.outline(area)) if target.kept.outline else None
        digests_known = outline.take_digests if outline else None
        output: Output | None = outline
        if target.kept.car or outline is None:
            car = stack.enter_context(area.attempt(target.part_name, target.layout.car_size))
            output = _CarAndOutline(car, outline) if outline else car
        assert output is not None
        yield _Outputs(output, digests_known, target.progress)


class Halves:
    """Progress of work that goes over a CAR twice: each time counts for a half."""

    def __init__(self, size: int, progress: Callable[[int], None]) -> None:
        self._left = 2 * size
        self._odd = 0
        self._progress = progress

    def advance(self, done: int) -> None:
        """So many bytes were gone over."""
        self._left -= done
        self._odd += done
        whole, self._odd = divmod(self._odd, 2)
        self._progress(whole)

    def finish(self) -> None:
        """The rest needn't be gone over."""
        if self._left > 0:
            self.advance(self._left)


class _Sent:
    """An `Output` of a CAR that is sent to a store once its name is known, or its outline, or both."""

    def __init__(
        self, outline: OutlineOutput, area: StoreArea, size: int, kept: Kept, halves: Halves | None
    ) -> None:
        self._outline = outline
        self._area = area
        self._size = size
        self._kept = kept
        self._halves = halves

    def write(self, data: memoryview, offset: int) -> None:
        self._outline.write(data, offset)

    def sync(self) -> None:
        self._outline.sync()

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        return self._outline.read(buffer, offset, size)

    def publish(self, name: str) -> None:
        """Send what isn't there; the outline first: no CAR is there without it."""
        if self._kept.outline:
            self._area.publish_outline(self._kept.project, self._outline, name)
        if self._kept.car and not self._area.has(name, self._size):
            self._area.put(name, self._parts(), self._size)
        if self._halves:
            self._halves.finish()

    def _parts(self) -> Iterator[bytes]:
        for part in read_in_order(self._outline, self._size):
            self._outline.close_unit(0, memoryview(b""))  # shows that this attempt is alive
            if self._halves:
                self._halves.advance(len(part))
            yield part


class _CarAndOutline:
    """An `Output` that keeps a CAR and its outline."""

    def __init__(self, car: Output, outline: OutlineOutput) -> None:
        self._car = car
        self._outline = outline

    def write(self, data: memoryview, offset: int) -> None:
        self._car.write(data, offset)
        self._outline.write(data, offset)

    def sync(self) -> None:
        self._car.sync()

    def read(self, buffer: mmap.mmap, offset: int, size: int) -> memoryview:
        return self._car.read(buffer, offset, size)

    def publish(self, name: str) -> None:
        """The outline first: no CAR is there without it."""
        self._outline.publish(name)
        self._car.publish(name)
