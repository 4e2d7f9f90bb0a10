"""An entry of a tree, as a CAR holds it and as a caller expects it: the value that listings are made of.

Paths and names are bytes, as file systems and dag-pb have them (https://specs.ipfs.tech/unixfs/).
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["file", "directory", "symlink"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or symbolic link that a walk meets.

    Attributes:
        path: names below the root, joined by `/`; empty for a root that isn't a folder.
        kind: what it is.
        size: bytes of a file's content, of a link's target; 0 for a folder.
        cid: binary CID of its root block.
        offset: byte offset in the CAR of the section of its root block.
        target: where a symbolic link leads, None for others.
    """

    path: bytes
    kind: Kind
    size: int
    cid: bytes
    offset: int
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class ExpectedEntry:
    """An entry that a caller expects; a value of None isn't compared."""

    path: bytes
    kind: Kind
    size: int | None = None
    cid: bytes | None = None
    target: bytes | None = None
