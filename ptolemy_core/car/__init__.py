"""Making CAR bytes: assembling and filling a layout, writing a CAR, the root CID of a folder.

Not here: where the bytes go in a CAR (`layout`), where data comes from (`source`), the folder of finished CARs
(`staging`).
"""

from ptolemy_core.car.build import BuiltCar, write_car
from ptolemy_core.car.fill import fill
from ptolemy_core.car.items import BuiltItem
from ptolemy_core.car.options import BuildOptions

__all__ = ["BuildOptions", "BuiltCar", "BuiltItem", "fill", "write_car"]
