"""A staging area: the folder where a project's CARs appear as `<piece CID>.car`, only when complete.

It knows files by their names, and nothing of the catalog. A file whose name starts with a dot and ends with `.part`
is a CAR being built; any other file that isn't requested by name is left alone.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ptolemy_core import commp, urls
from ptolemy_core.errors import StagingError
from ptolemy_core.source.safe_delete import inode_of
from ptolemy_core.staging import attempts, output
from ptolemy_core.staging.output import Output, Space

if TYPE_CHECKING:
    from ptolemy_core.car.outline import Outline
    from ptolemy_core.car.outlined import OutlineOutput
    from ptolemy_core.project import Project  # pydantic takes a while to load
    from ptolemy_core.staging.outline_prefixes import Superseded
    from ptolemy_core.staging.store import StoreArea

OUTLINES = "outlines"
"""Folder of a staging area that holds outlines, in a folder for each project."""
_READ = 16 << 20


@dataclass(frozen=True, slots=True)
class StagedFile:
    """The status of an entry in the staging area, of whatever kind.

    Attributes:
        size: bytes.
        ctime: st_ctime_ns, which no program can set back.
        inode: as returned by `safe_delete.inode_of`.
        regular: whether it is a regular file, not a link, folder or pipe.
    """

    size: int
    ctime: int
    inode: int
    regular: bool

    @staticmethod
    def of(status: os.stat_result) -> "StagedFile":
        """From the result of lstat or fstat."""
        return StagedFile(status.st_size, status.st_ctime_ns, inode_of(status), stat.S_ISREG(status.st_mode))

    def is_whole(self, size: int) -> bool:
        """Whether it is a regular file of that size."""
        return self.regular and self.size == size


def outline_folder(staging_dir: str, project: str) -> str:
    """The folder of a project's outlines."""
    return os.path.join(staging_dir, OUTLINES, project)


def part_name(project: str, number: int) -> str:
    """The file name of a container's CAR until it is complete."""
    return f".{project}-{number:06d}.car{attempts.PART}"


def root_part_name(project: str) -> str:
    """The file name of a data set's root CAR until it is complete."""
    return f".{project}-root.car{attempts.PART}"


@dataclass(frozen=True, slots=True)
class StagingArea:
    """A staging folder."""

    folder: str

    def path(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.folder, name)

    def look(self, name: str) -> StagedFile | None:
        """The status of the file of that name; None if it doesn't exist.

        Raises:
            StagingError: lstat failed.
        """
        try:
            return StagedFile.of(os.lstat(self.path(name)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StagingError(
                f"{self.path(name)} can't be accessed ({error.strerror}): check that staging_dir is mounted"
            ) from error

    def has(self, name: str, size: int) -> bool:
        """Whether a regular file of that name and size exists."""
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
                f"staging_dir {self.folder!r} can't be read ({error.strerror}): check that it exists and is mounted"
            ) from error
        return found

    def outlines(self, project: str) -> dict[str, int]:
        """Sizes of all files in the folder of a project's outlines, by name; none while nobody made it.

        Raises:
            StagingError: it can't be read.
        """
        folder = outline_folder(self.folder, project)
        return StagingArea(folder).sizes() if os.path.isdir(folder) else {}

    def outline_scratch(self, project: str) -> str:
        """The folder where a project's outlines are written until they are complete."""
        return outline_folder(self.folder, project)

    def publish_outline(self, project: str, output: "OutlineOutput", car_name: str) -> None:
        """Give a complete outline the name of its CAR's, in the folder where it is.

        Raises:
            BusyError: a later attempt took over.
        """
        output.publish(car_name)

    def open_outline(self, name: str) -> "Outline | None":
        """An outline by its path in the area; None if it isn't there.

        Raises:
            OutlineError: it is damaged, or can't be read.
        """
        from ptolemy_core.car.outline import Outline  # most areas open none

        return None if self.look(name) is None else Outline(self.path(name))

    def outlines_renamed(
        self, old: str, new: str, also: "Sequence[Superseded]" = ()
    ) -> AbstractContextManager[None]:
        """Rename the folder of a project's outlines while the block renames it; see `outline_folders`.

        What else has the old name stays, beside the manifests of that name.
        """
        from ptolemy_core.staging.outline_folders import outlines_renamed

        return outlines_renamed(self.folder, old, new)

    def finish_renames(self, project: str, exists: Callable[[str], bool]) -> None:
        """Nothing: what a killed rename left does no harm in a folder."""

    def parts(self, project: str) -> Iterator[tuple[int, str]]:
        """Container numbers and names of a project's CARs and outlines being built, and of what killed builds left.

        Raises:
            StagingError: the folder can't be read.
        """
        pattern = re.compile(re.escape(f".{project}-") + r"(\d+)\.car(?:\..*)?" + re.escape(attempts.PART))
        for name in [
            *self.sizes(),
            *(os.path.join(OUTLINES, project, name) for name in self.outlines(project)),
        ]:
            match = pattern.fullmatch(os.path.basename(name))
            if match:
                yield int(match[1]), name

    @property
    def incomplete(self) -> "StagingArea":
        """Where files are that aren't complete: here."""
        return self

    def drop_uploads(self) -> None:
        """Nothing: a folder has no uploads."""

    def free_space(self, part: str) -> Space:
        """Free space for the CAR whose file is called `part` while it is built.

        Raises:
            StagingError: the folder can't be read.
        """
        try:
            return output.free_space(self.folder, part)
        except OSError as error:
            raise StagingError(
                f"staging_dir {self.folder!r} can't be read ({error.strerror}): check that it exists and is mounted"
            ) from error

    def attempt(self, part: str, size: int) -> AbstractContextManager[Output]:
        """A new file of `size` bytes for the CAR whose file is called `part` until complete; see `partial_file`."""
        return output.partial_file(self.path(part), size)

    def open(self, name: str) -> int:
        """A descriptor for reading a file; doesn't follow links or block on pipes.

        Raises:
            OSError: it can't be opened.
        """
        return os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)

    def piece_cid(
        self, name: str, progress: Callable[[int], None] | None = None
    ) -> tuple[bytes, StagedFile] | None:
        """The piece CID v2 of a file's bytes, and its status; None if it isn't a CAR's file or changed meanwhile.

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
        """Remove a file, durably.

        Raises:
            FileNotFoundError: it doesn't exist.
            OSError: it can't be removed.
        """
        os.unlink(self.path(name))
        self.sync()

    def sync(self) -> None:
        """Make the folder's entries durable.

        Raises:
            OSError: the disk fails.
        """
        output.sync_folder(self.folder)

    def is_same_as(self, other: "StagingArea | StoreArea") -> bool:
        """Whether both are the same folder, whatever their paths."""
        if not isinstance(other, StagingArea):
            return False
        try:
            return os.path.samefile(self.folder, other.folder)
        except OSError:
            return os.path.realpath(self.folder) == os.path.realpath(other.folder)


def area_of(project: "Project") -> "StagingArea | StoreArea":
    """The staging area of a project."""
    return area_at(project.staging_dir, project.source_profile, project.local_dir)


def area_at(place: str, profile: str | None = None, local: str = "") -> "StagingArea | StoreArea":
    """The staging area at a folder, or a URL.

    Args:
        place: staging_dir.
        profile: of the credentials for a URL.
        local: folder of this machine for what isn't complete, where something is to be written to a URL.
    """
    if not urls.is_url(place):
        return StagingArea(place)
    from ptolemy_core.staging.store import StoreArea  # it loads what opens URLs

    return StoreArea(place, profile, local)
