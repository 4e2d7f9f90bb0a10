"""Making CAR bytes: assembling and filling a layout, writing a CAR file, the root CID of a folder.

Where the bytes go is `layout`, where data comes from is `source`, and the folder of finished CARs is `staging`.
"""

from ptolemy_core.car.build import BuiltCar, BuiltItem, write_car
from ptolemy_core.car.fill import fill
from ptolemy_core.car.options import BuildOptions

__all__ = ["BuildOptions", "BuiltCar", "BuiltItem", "fill", "write_car"]
