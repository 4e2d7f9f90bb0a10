"""What an entry of a data set is: its kind and its path (names joined by NUL, as bytes), and how both are shown."""

from ptolemy_core.tree.entry import KIND_NAMES, LEFT_OUT, Kind
from ptolemy_core.tree.paths import SEPARATOR

__all__ = ["KIND_NAMES", "LEFT_OUT", "SEPARATOR", "Kind"]
