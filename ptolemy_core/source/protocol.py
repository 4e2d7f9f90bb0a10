"""What a source of data must offer: a few primitives, over paths and stamps.

A new kind of source is a class with these methods, in a module of its own, and a line in `source.open_source`. A
wrapper (one that encrypts, say) holds another source and offers the same methods.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ptolemy_core.kernel import Buffer
from ptolemy_core.rules.selection import Rules
from ptolemy_core.source.stamps import Stamp, Stamps

BATCH = 2_000
"""Entries that are listed together."""

State: TypeAlias = tuple[int, int]
"""Tells the states of a file apart more sharply than its stamp. Only for comparing what was read at different times.

On a file system: ctime in nanoseconds and inode (0 where inode numbers don't last), each modulo 2^64; a chmod
changes it too.
"""


class Entry(NamedTuple):
    """An entry found in a source.

    `path` is NUL-joined below the source; `kind` a `Kind` or LEFT_OUT; `size` and `token` are its stamp (the size of
    a link is its target's length); `target` a link's; `reason` why it is left out.
    """

    path: bytes
    kind: int
    size: int
    token: int
    target: bytes | None = None
    reason: str | None = None


FolderSeen: TypeAlias = Callable[[bytes, int], None]
"""Takes the path of a folder and a token that changes when entries come or go in it."""


class Source(Protocol):
    """A place that data comes from. Methods may be called by any thread.

    Those that look at an entry raise SourceError, which names it, when it can't be read or isn't the one that was
    scanned.
    """

    def name(self, path: bytes) -> str:
        """An entry's name for people, with the source's own."""

    def top(self) -> Entry:
        """The entry that the source itself is: a folder, as a rule. Its path is empty."""

    def entries(
        self, rules: Rules | None = None, *, folder: FolderSeen | None = None, size: int = BATCH
    ) -> Iterator[list[Entry]]:
        """All entries that aren't folders, and the empty folders, in path order, some `size` at a time.

        Args:
            rules: of what belongs in.
            folder: called with each folder before it is listed, where the source has such.
            size: entries of a batch, about.
        """

    def read(self, path: bytes, offset: int, buffers: Sequence[memoryview], stamp: Stamp) -> State | None:
        """Fill the buffers, one after the other, with a file's bytes from `offset`.

        Returns:
            the state of the file that was read; None if its stamp is strong, or says all there is to say.
        """

    def check(self, path: bytes, kind: int, stamp: Stamp) -> None:
        """See that a file still has its stamp, or that an empty folder is still there."""

    def link(self, path: bytes) -> bytes:
        """Where a symbolic link leads."""


@runtime_checkable
class ReadsMany(Protocol):
    """What a source may offer beside that: many small files in one call."""

    def read_many(
        self, names: Sequence[bytes], buffer: Buffer, places: NDArray[np.int64], stamps: Stamps
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Read whole files, given by their paths, to their places in the buffer.

        Returns:
            which files were read and have their stamps (the others are for `read`, which says what is wrong), and
            a row with the `State` of each of those.
        """
