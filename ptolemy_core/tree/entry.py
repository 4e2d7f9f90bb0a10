"""Kinds of entries."""

from enum import IntEnum

LEFT_OUT = -1
"""Kind of an entry that can't go into a CAR; the entry's reason says why."""


class Kind(IntEnum):
    """What an entry of a scan is."""

    FILE = 0
    DIRECTORY = 1
    """An empty folder. Other folders follow from the paths of their entries."""
    SYMLINK = 2


KIND_NAMES = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "symlink", LEFT_OUT: "left out"}
"""What kinds are called wherever entries are listed."""
