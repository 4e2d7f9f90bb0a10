"""The layout of a CAR: where every byte goes, from names and sizes alone, before any data is read.

Also the plan that divides a data set into containers, since it needs exact CAR sizes. Pure: no files, no catalog.
Writing the bytes is `car`; the sizes of single blocks are `dag`.
"""

from ptolemy_core.layout.extents import item_extents
from ptolemy_core.layout.items import WHOLE, Items, ItemsBuilder
from ptolemy_core.layout.table import HEADER_SIZE, Block, Layout, compute_layout
from ptolemy_core.layout.tree import Tree, build_tree, measure_tree
from ptolemy_core.tree import Kind

__all__ = [
    "HEADER_SIZE",
    "WHOLE",
    "Block",
    "Items",
    "ItemsBuilder",
    "Kind",
    "Layout",
    "Tree",
    "build_tree",
    "compute_layout",
    "item_extents",
    "measure_tree",
]
