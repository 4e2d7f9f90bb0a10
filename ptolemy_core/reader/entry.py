"""An entry of a tree, as found in a CAR and as a caller expects it.

Paths and names are bytes, as in file systems and dag-pb (https://specs.ipfs.tech/unixfs/).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

Kind = Literal["file", "directory", "symlink"]


class CarEntry(NamedTuple):
    """A file, folder or symbolic link found in a CAR.

    Attributes:
        path: names below the root, joined by `/`; empty for a root that isn't a folder.
        kind: its kind.
        size: bytes of a file's content or a link's target; 0 for a folder.
        cid: binary CID of its root block.
        offset: byte offset in the CAR of its root block's section.
        target: target of a symbolic link, None for others.
    """

    path: bytes
    kind: Kind
    size: int
    cid: bytes
    offset: int
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class FileRun:
    """Files of one folder that follow one another in a CAR, each a single block: as columns, since most are such.

    Attributes:
        folder: the folder's path with a slash after it; empty for the root.
        names: of the files.
        sizes: bytes of their content.
        cids: binary CIDs.
        offsets: byte offsets in the CAR of their sections.
    """

    folder: bytes
    names: list[bytes]
    sizes: list[int]
    cids: list[bytes]
    offsets: list[int]

    def __iter__(self) -> Iterator[CarEntry]:
        for name, size, cid, offset in zip(self.names, self.sizes, self.cids, self.offsets, strict=True):
            yield CarEntry(self.folder + name, "file", size, cid, offset)


class EntryReceiver(Protocol):
    """What is told of the entries of a CAR, in the CAR's order."""

    def entry(self, entry: CarEntry) -> None:
        """Take the next entry."""

    def files(self, files: FileRun) -> None:
        """Take the next entries, all of them files that were checked together."""


@dataclass(frozen=True, slots=True)
class EachEntry:
    """A receiver that calls a function with each entry."""

    function: Callable[[CarEntry], None]

    def entry(self, entry: CarEntry) -> None:
        self.function(entry)

    def files(self, files: FileRun) -> None:
        for entry in files:
            self.function(entry)


@dataclass(frozen=True, slots=True)
class ExpectedEntry:
    """An entry that a caller expects; values of None aren't compared."""

    path: bytes
    kind: Kind
    size: int | None = None
    cid: bytes | None = None
    target: bytes | None = None
