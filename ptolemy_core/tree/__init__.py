"""What an entry of a data set is: its kind and its path (names joined by NUL, as bytes), and how both are shown."""

from ptolemy_core.tree.entry import LEFT_OUT, Kind, kind_name
from ptolemy_core.tree.paths import SEPARATOR

__all__ = ["LEFT_OUT", "SEPARATOR", "Kind", "kind_name"]
