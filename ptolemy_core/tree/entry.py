"""Kinds of entries."""

from enum import IntEnum

LEFT_OUT = -1
"""Kind of an entry that can't go into a CAR: its reason says why."""


class Kind(IntEnum):
    """What an entry of a scan is."""

    FILE = 0
    DIRECTORY = 1
    """An empty folder: others are known from the paths below them."""
    SYMLINK = 2


_NAMES = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "symlink", LEFT_OUT: "left out"}


def kind_name(kind: int) -> str:
    """The name of a kind as tables, manifests and JSON have it: file, directory (an empty one), symlink, left out."""
    return _NAMES[kind]
