"""What a restore is given and what it says: files as parts of CARs, and the report of what became of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ptolemy_core.restore.blocks import Spot
from ptolemy_core.restore.path import Path
from ptolemy_core.tree import paths

if TYPE_CHECKING:
    from ptolemy_core.encryption import FileCipher

MAX_PROBLEMS = 1000
"""Problems that are kept; the rest is counted."""


class Segment(NamedTuple):
    """A shard of a file, or all of it: `length` bytes from `start`, the DAG of `cid`, whose root is at `spot`."""

    start: int
    length: int
    cid: bytes
    spot: Spot


@dataclass(frozen=True, slots=True)
class FileItem:
    """A file to restore.

    Attributes:
        path: its path below the target.
        size: bytes.
        segments: its parts, in order.
        mtime: modification time to set, nanoseconds since 1970; None sets none.
        check: is given the CIDs of the nodes right above the raw leaves, in order, when all is written; what it
            returns is what is wrong.
        cipher: of an encrypted file, whose segments are ranges of it as it is in CARs; `size` is that of the plain
            file.
    """

    path: Path
    size: int
    segments: tuple[Segment, ...]
    mtime: int | None = None
    check: Callable[[list[bytes]], str | None] | None = None
    cipher: "FileCipher | None" = None


@dataclass
class Report:
    """What a restore did.

    Attributes:
        files, links, folders: entries written now.
        kept: entries that already existed with the same bytes.
        written_bytes: bytes of files written now.
        problems: what could not be restored: path for people, and why.
        more_problems: how many more there are.
        warnings: what is wrong with CARs, though it kept nothing from being restored.
    """

    files: int = 0
    links: int = 0
    folders: int = 0
    kept: int = 0
    written_bytes: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    more_problems: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is there."""
        return not self.problems

    def problem(self, path: bytes | Path, reason: str) -> None:
        """Keep a problem with the entry of this path."""
        if len(self.problems) < MAX_PROBLEMS:
            shown = path.shown() if isinstance(path, Path) else path
            self.problems.append((paths.display(shown), reason))
        else:
            self.more_problems += 1
