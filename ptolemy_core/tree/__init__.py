"""What an entry of a data set is: its kind, and its path (names joined by NUL, as bytes).

Here: kinds, path arithmetic, and the text forms of a path. Not here: where entries come from (`source`), which ones
belong to a project (`rules`), or how they are encoded (`dag`).
"""

from ptolemy_core.tree.entry import KIND_NAMES, LEFT_OUT, Kind
from ptolemy_core.tree.paths import SEPARATOR

__all__ = ["KIND_NAMES", "LEFT_OUT", "SEPARATOR", "Kind"]
