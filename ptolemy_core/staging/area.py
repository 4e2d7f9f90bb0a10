"""A staging area: the folder where a project's CARs appear under `<piece CID>.car`, each whole from the start.

It knows files by their names and nothing of the catalog. A file whose name begins with a dot and ends with `.part` is
a CAR under construction; all else that isn't asked for by name is others'.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from ptolemy_core import commp
from ptolemy_core.errors import StagingError
from ptolemy_core.project import Project
from ptolemy_core.source.safe_delete import inode_of
from ptolemy_core.staging import attempts, output
from ptolemy_core.staging.output import Output, Space

_READ = 16 << 20


@dataclass(frozen=True, slots=True)
class StagedFile:
    """What is under a name in the staging area, whatever it is.

    Attributes:
        size: bytes.
        ctime: st_ctime_ns: no program can set it back.
        inode: as `safe_delete.inode_of` gives it.
        regular: whether it is a file, and no link, folder or pipe.
    """

    size: int
    ctime: int
    inode: int
    regular: bool

    @staticmethod
    def of(status: os.stat_result) -> "StagedFile":
        """From what the system says of it."""
        return StagedFile(status.st_size, status.st_ctime_ns, inode_of(status), stat.S_ISREG(status.st_mode))

    def is_whole(self, size: int) -> bool:
        """Whether it is a file of that size."""
        return self.regular and self.size == size


def part_name(project: str, number: int) -> str:
    """What a container's CAR is called until it is whole."""
    return f".{project}-{number:06d}.car{attempts.PART}"


def root_part_name(project: str) -> str:
    """What the CAR of a data set's root is called until it is whole."""
    return f".{project}-root.car{attempts.PART}"


@dataclass(frozen=True, slots=True)
class StagingArea:
    """A staging folder."""

    folder: str

    def path(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.folder, name)

    def look(self, name: str) -> StagedFile | None:
        """What has that name now; None if nothing has.

        Raises:
            StagingError: that can't be told.
        """
        try:
            return StagedFile.of(os.lstat(self.path(name)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StagingError(f"{self.path(name)} can't be looked at ({error.strerror})") from error

    def has(self, name: str, size: int) -> bool:
        """Whether a file of that name is there, in its full size."""
        found = self.look(name)
        return found is not None and found.is_whole(size)

    def sizes(self) -> dict[str, int]:
        """Sizes of all files, by name.

        Raises:
            StagingError: the folder can't be read.
        """
        found: dict[str, int] = {}
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if entry.is_file(follow_symlinks=False):
                            found[entry.name] = entry.stat(follow_symlinks=False).st_size
        except OSError as error:
            raise StagingError(
                f"staging_dir {self.folder!r} can't be read ({error.strerror}): see that it is there and mounted"
            ) from error
        return found

    def parts(self, project: str) -> Iterator[tuple[int, str]]:
        """Container numbers and names of a project's CARs under construction, and of what killed builds left.

        Raises:
            StagingError: the folder can't be read.
        """
        pattern = re.compile(re.escape(f".{project}-") + r"(\d+)\.car(?:\..*)?" + re.escape(attempts.PART))
        for name in self.sizes():
            match = pattern.fullmatch(name)
            if match:
                yield int(match[1]), name

    def free_space(self, part: str) -> Space:
        """Bytes free for the CAR that is called `part` while it is built.

        Raises:
            StagingError: the folder can't be read.
        """
        try:
            return output.free_space(self.folder, part)
        except OSError as error:
            raise StagingError(f"staging_dir {self.folder!r} can't be read ({error.strerror})") from error

    def attempt(self, part: str, size: int) -> AbstractContextManager[Output]:
        """A new file of `size` bytes for the CAR that is called `part` until it is whole: `output.partial_file`."""
        return output.partial_file(self.path(part), size)

    def open(self, name: str) -> int:
        """A descriptor to read a file; links and pipes aren't opened.

        Raises:
            OSError: it can't be opened, or is no file.
        """
        return os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)

    def piece_cid(
        self, name: str, progress: Callable[[int], None] | None = None
    ) -> tuple[bytes, StagedFile] | None:
        """The piece CID v2 of a file's bytes, and the file that was read; None if it changed meanwhile.

        Raises:
            OSError: it can't be read.
        """
        descriptor = self.open(name)
        try:
            before = StagedFile.of(os.fstat(descriptor))
            if not before.regular or before.size > commp.MAX_PAYLOAD:
                return None
            piece = commp.PieceCommitment()
            size = 0
            while chunk := os.pread(descriptor, _READ, size):
                size += len(chunk)
                if size > before.size:
                    return None
                piece.update(chunk)
                if progress:
                    progress(len(chunk))
            if (
                size != before.size
                or StagedFile.of(os.fstat(descriptor)) != before
                or self.look(name) != before
            ):
                return None
            return commp.piece_cid_v2(piece.digest(), size), before
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file, for good: also after a loss of power.

        Raises:
            FileNotFoundError: it isn't there.
            OSError: it can't be removed.
        """
        os.unlink(self.path(name))
        self.sync()

    def sync(self) -> None:
        """See that the names in it are on the disk.

        Raises:
            OSError: the disk fails.
        """
        output.sync_folder(self.folder)

    def is_same_as(self, other: "StagingArea") -> bool:
        """Whether both are one folder, by whatever paths."""
        try:
            return os.path.samefile(self.folder, other.folder)
        except OSError:
            return os.path.realpath(self.folder) == os.path.realpath(other.folder)


def area_of(project: Project) -> StagingArea:
    """Where a project's CARs appear."""
    return StagingArea(project.staging_dir)
