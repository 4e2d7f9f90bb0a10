"""CARs built twice from one tree, staged and as an outline, in one call."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ptolemy_core.car import BuiltCar
from ptolemy_core.car.generate import GeneratedCar
from ptolemy_core.car.options import BuildOptions
from ptolemy_core.car.outline import Outline
from ptolemy_core.car.outlined import outline_car, outline_name
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import Items, Layout, compute_layout
from ptolemy_core.source import Inputs

from . import scene


@dataclass(frozen=True, slots=True)
class Outlined:
    """An outline on disk and what it was made from."""

    path: str
    built: BuiltCar
    layout: Layout
    inputs: Inputs

    @contextmanager
    def open(self, **options: int) -> Iterator[GeneratedCar]:
        """The CAR, generated."""
        with GeneratedCar(Outline(self.path), self.inputs.source, **options) as car:
            yield car


def outlined(
    tree: bytes | tuple[Items, Inputs],
    folder: str | Path,
    profile: Profile = scene.SMALL,
    *,
    sha256: bool = False,
    unit: int = 1016,
) -> Outlined:
    """The outline of what is at a path, or of items, in a folder."""
    items, inputs = scene.whole(tree) if isinstance(tree, bytes) else tree
    layout = compute_layout(items, profile)
    options = BuildOptions(threads=2, unit=unit, sha256=sha256)
    built = outline_car(layout, inputs, str(folder), options, profile=profile)
    return Outlined(str(Path(folder) / outline_name(built.file_name)), built, layout, inputs)
