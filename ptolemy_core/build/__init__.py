"""Building: filling a known layout in one pass over the sources, and CIDs without a CAR."""

from ptolemy_core.build.car import BuiltCar, build_car
from ptolemy_core.build.fill import fill
from ptolemy_core.build.source import Source

__all__ = ["BuiltCar", "Source", "build_car", "fill"]
