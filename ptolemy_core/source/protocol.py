"""The protocol of a data source: a few primitives over paths and stamps.

A new kind of source is a class with these methods in its own module, and a line in `source.open_source`. A wrapper
contains another source and has the same methods; one for builds alone, such as `encrypted`, has those of `Files`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel import Buffer
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source.filesystem import Mounts
from ptolemy_core.source.listed import Entry as Entry
from ptolemy_core.source.listed import Listed
from ptolemy_core.source.packed_entries import PackedEntries
from ptolemy_core.source.stamps import Stamp, Stamps

BATCH = 2_000
"""Entries per batch of a listing."""

State: TypeAlias = tuple[int, int]
"""Identifies the state of a file more precisely than its stamp. Used only to compare different reads of it.

On a file system: ctime in nanoseconds and inode (0 if inode numbers aren't stable), each modulo 2^64. A chmod also
changes it.
"""


FolderSeen: TypeAlias = Callable[[bytes, int], None]
"""Receives the path of a folder and a token that changes when entries are added or removed in it."""


class Files(Protocol):
    """Entries that are known by their paths: the part of a source that is read to make CARs. Thread-safe.

    Methods that access an entry raise SourceError, which names the entry, if it can't be read or changed since the
    scan.
    """

    def name(self, path: bytes) -> str:
        """An entry's name for people, including the source's."""

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> State | None:
        """Fill the buffers, in order, with a file's bytes from `offset`.

        Returns:
            the state of the file that was read; None if its stamp is strong or the source has no states.
        """

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        """Check that a file still has its stamp, or that an empty folder still exists."""

    def link(self, path: bytes) -> bytes:
        """The target of a symbolic link."""


class Source(Files, Protocol):
    """A source of data. All methods are thread-safe, and raise errors as those of `Files` do."""

    def top(self) -> Entry:
        """The entry for the source itself, usually a folder. Its path is empty."""

    def entries(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = BATCH
    ) -> Iterator[list[Entry]]:
        """All entries that aren't folders, and the empty folders, in path order, in batches.

        Args:
            rules: which entries belong to the project.
            folder: called with each folder before it is listed, if the source has folders.
            size: approximate number of entries per batch.
        """


class OpenFile(Protocol):
    """A file as it is now, to be compared with what a CAR holds.

    Attributes:
        stamp: its stamp now.
        ctime: of its state, see `State`; None if the source has no states.
    """

    @property
    def stamp(self) -> Stamp: ...

    @property
    def ctime(self) -> int | None: ...

    def read_at(self, view: memoryview, offset: int) -> int:
        """Fill `view` with the bytes from `offset`; returns how many there were."""


class Target(Source, Protocol):
    """A source that a project can have as its target_dir."""

    def mounts(self) -> Mounts:
        """What the data is on, which tells a target from another in its place. Raises SourceError."""

    def is_empty(self) -> bool:
        """Whether there is nothing in it. Raises SourceError."""

    def require_usable(self) -> None:
        """See that it is there and can be listed. Raises SettingsError."""

    def opened(self, path: bytes) -> AbstractContextManager[OpenFile]:
        """A file as it is now, whatever the scan saw. Raises SourceError."""


@runtime_checkable
class ReadsMany(Protocol):
    """An optional capability of a source: reading many small files in one call."""

    def read_many(
        self, names: Sequence[bytes], buffer: Buffer, offsets: NDArray[np.int64], stamps: Stamps
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64] | None]:
        """Read whole files, given by their paths, to these offsets in the buffer.

        Returns:
            which files were read and have their stamps (`read` reports what is wrong with the others), and one row
            per file with its `State`; None if the source has no states.
        """


@runtime_checkable
class ListsColumns(Protocol):
    """An optional capability of a source: its entries as columns."""

    def listed(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = BATCH
    ) -> Iterator[Listed]:
        """The entries of `Source.entries`."""


@runtime_checkable
class ListsPacked(Protocol):
    """An optional capability of a source: all its entries in packed columns."""

    def packed(self) -> PackedEntries | None:
        """The entries of `Source.entries` without rules; None if one of them may not be one to store."""


@runtime_checkable
class KeepsPaths(Protocol):
    """An optional capability of `Files`: other paths that can be kept, and read without knowing more of an entry."""

    def kept_path(self, path: bytes) -> bytes:
        """The path to keep in an outline for an entry's path."""
