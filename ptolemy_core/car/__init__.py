"""Making CAR bytes: assembling and filling a layout, writing a CAR file, the root CID of a folder.

Where the bytes go is `layout`, where data comes from is `source`, and the folder of finished CARs is `staging`.
"""

from ptolemy_core.car.build import BuiltCar, BuiltItem, build_car
from ptolemy_core.car.fill import fill

__all__ = ["BuiltCar", "BuiltItem", "build_car", "fill"]
