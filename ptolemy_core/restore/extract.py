"""Extract: trees out of CARs alone, without a catalog; of any writer, and files split over several CARs.

First it is known which trees there are and how large (`selection`). Then two walks over their folders: the first
learns of shards and whether all fits, the second writes. Memory holds one path of folders and the shards of split
files, not the tree.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptolemy_core.encryption.text import looks_encrypted
from ptolemy_core.errors import DamagedError, PtolemyError
from ptolemy_core.layout import names as car_names
from ptolemy_core.progress import Progress
from ptolemy_core.reader.findings import CarError
from ptolemy_core.reader.seekable import CarFile
from ptolemy_core.restore.blocks import BlockError, Blocks
from ptolemy_core.restore.durable import sync_file_system
from ptolemy_core.restore.measure import Limits
from ptolemy_core.restore.naming import Furthest
from ptolemy_core.restore.path import ROOT, Path, path_of
from ptolemy_core.restore.plaintext import Plaintext, as_stored
from ptolemy_core.restore.report import Report
from ptolemy_core.restore.selection import Selection, select
from ptolemy_core.restore.shards import Split
from ptolemy_core.restore.target import STATE, EntryError, Target, check_free_space, state_name
from ptolemy_core.restore.walk import Problem, TreeEntry, Walk, Wanted
from ptolemy_core.restore.write import Writer
from ptolemy_core.tree import paths

if TYPE_CHECKING:
    from ptolemy_core.encryption import ProjectCipher

INCOMPLETE = b"incomplete"
"""Folder in the state folder for shards of files of which other shards are missing."""
_SAID_EACH = 1000


class CarsError(PtolemyError):
    """CAR files that can't be opened, or aren't CARs."""

    code = "cars-unreadable"


@dataclass
class Survey:
    """What the CARs hold of what is asked for.

    Attributes:
        size: bytes of all files together.
        splits: files that are in shards, by their paths' keys.
        state: a name for the state folder that the tree doesn't have.
    """

    size: int = 0
    splits: dict[bytes, Split] = field(default_factory=dict)
    state: bytes = STATE


class Extraction:
    """CARs that are open for extraction.

    Args:
        cars: the CAR files, of any version and writer; they count as one set of blocks.
        wanted: real NUL-joined paths of files and folders; all if there are none.
        raw_names: take names that look like a shard's as they are.
        roots: binary CIDs to restore instead of the roots that the CARs name.
        complete: these are all CARs there are, so that no shard follows the ones in them.
        limits: of what is walked over and written.
        walked: called with the entries looked at since the last call, before anything is written.

    Raises:
        CarsError: one can't be opened, or isn't a CAR.
    """

    def __init__(
        self,
        cars: Sequence[CarFile],
        *,
        wanted: Sequence[bytes] = (),
        raw_names: bool = False,
        roots: Sequence[bytes] = (),
        complete: bool = False,
        limits: Limits | None = None,
        walked: Callable[[int], None] = lambda entries: None,
    ) -> None:
        self._roots = tuple(roots)
        self._raw_names = raw_names
        self._complete = complete
        self._limits = limits or Limits()
        self._walked = walked
        self._furthest: dict[int, Furthest] = {}  # the last path, in path order, that was met in each CAR
        self._selection: Selection | None = None
        try:
            self._blocks = Blocks(cars)
        except CarError as error:
            raise CarsError(f"{error}: give CAR files, version 1 or 2") from None
        except OSError as error:
            name = paths.display(os.fsencode(error.filename)) if error.filename else "a CAR"
            raise CarsError(f"{name} can't be read ({error.strerror})") from None
        self._asked = tuple(path for path in wanted if path)
        self._hidden: bool | None = None
        self.decrypt(None)

    def __enter__(self) -> "Extraction":
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()

    def decrypt(self, cipher: "ProjectCipher | None") -> None:
        """Decrypt names, links and files from now on; to be called before anything else.

        Args:
            cipher: of the CARs' project; None decrypts nothing.
        """
        self._cipher = cipher
        self._plain = Plaintext(self._blocks, cipher)
        in_cars = [cipher.car_path(path) if cipher else path for path in self._asked]
        self._wanted = Wanted.of(tuple(paths.names(path)) for path in in_cars)

    def select(self) -> Selection:
        """The trees that are extracted; found at the first call.

        Raises:
            LimitError: they describe more than the limits.
        """
        if self._selection is None:
            self._selection = select(
                self._blocks,
                self._roots,
                self._wanted,
                self._limits,
                raw_names=self._raw_names,
                walked=self._walked,
            )
        return self._selection

    def entries(self, problem: Problem) -> Iterator[tuple[TreeEntry, Path, int | None]]:
        """Entries of all CARs that are asked for: each with its real path, and its number if it is a shard.

        An entry itself is as its CAR has it; one whose name can't be decrypted is a problem.

        Raises:
            LimitError: as `select`.
        """
        selection = self.select()
        for reason in selection.problems:
            problem(ROOT, reason)
        for tree in selection.trees:
            furthest = self._furthest.setdefault(tree.car, Furthest())

            def told(path: Path, reason: str) -> None:
                problem(self._plain.shown(path), reason)

            for entry in Walk(self._blocks, tree, told, furthest):
                try:
                    path = self._plain.path(entry.path)
                except DamagedError as error:
                    told(entry.path, str(error))
                    continue
                if path.depth == 1:
                    self._hidden = self._hidden is not False and looks_encrypted(entry.path.name)
                yield entry, path, entry.shard

    def survey(self, problem: Problem = lambda path, reason: None) -> Survey:
        """Walk over all folders once.

        Raises:
            LimitError: as `select`.
        """
        seen = Survey()
        taken: set[bytes] = set()
        count = 0
        for entry, path, shard in self.entries(problem):
            count += 1
            if not count % _SAID_EACH:
                self._walked(_SAID_EACH)
            if path.depth == 1 and path.name.startswith(STATE):
                taken.add(path.name)
            if entry.kind != "file":
                continue
            if shard is None:
                seen.size += self._plain.known_size(entry.size)
                continue
            split = seen.splits.setdefault(path.key, Split(path))
            split.add(shard, entry)
        for split in seen.splits.values():
            whole = self.lacks(split) is None
            seen.size += self._plain.known_size(split.size) if whole else split.size
        seen.state = state_name(taken)
        return seen

    def lacks(self, split: Split) -> str | None:
        """What keeps the shards of a file, after a survey, from being the whole file; None if nothing does."""
        last = split.shards[max(split.shards)]
        furthest = self._furthest.get(last.spot.car)
        behind = furthest is not None and furthest.is_behind(bytes(last.path))
        return split.lacks(self._complete or behind)

    def real_size(self, entry: TreeEntry) -> int:
        """Bytes of a file that isn't a shard once decrypted; 0 if it can't be."""
        return self._plain.known_size(entry.size) if entry.kind == "file" else entry.size

    def real_target(self, entry: TreeEntry) -> bytes | None:
        """The target of a link once decrypted; None of what isn't a link, or can't be decrypted."""
        try:
            return None if entry.target is None else self._plain.target(entry)
        except DamagedError:
            return None

    @property
    def has_hidden_names(self) -> bool:
        """Whether all entries at the top have names that look encrypted, and there is no key; after a walk."""
        return self._cipher is None and self._hidden is True

    def unmet(self) -> list[bytes]:
        """The paths that were asked for and not met."""
        unmet = self._wanted.unmet()
        return [self._cipher.real_path(path) for path in unmet] if self._cipher else unmet

    def damage(self) -> list[str]:
        """Sentences about CARs that are cut, or have other bytes after their last block; after a walk."""
        return self._blocks.damage()

    def write(
        self,
        to: bytes,
        *,
        replace: bool = False,
        sparse: bool = True,
        threads: int = 2,
        started: Callable[[int], None] | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Restore everything that is asked for into a folder.

        Args:
            to: the folder; made if it isn't there.
            replace: write over files and links that are there and differ.
            sparse: leave out zeros, so that they are holes.
            threads: that read, hash and write at once.
            started: called once with the bytes that progress will add up to.
            progress: called with bytes done since the last call.

        Raises:
            TargetError: the folder can't be used, or has too little free space.
            LimitError: the CARs describe more than the limits.
        """
        report = Report()
        survey = self.survey()
        if started:
            started(survey.size)
        with Target(to, survey.state, replace=replace) as target:
            check_free_space(target, survey.size, self._there(target))
            self.select().limits.check_bytes(survey.size)
            with Writer(
                self._blocks, target, report, sparse=sparse, threads=threads, progress=progress
            ) as writer:
                done: set[bytes] = set()
                for entry, path, shard in self.entries(report.problem):
                    if entry.kind == "directory":
                        writer.folder(path)
                    elif entry.kind == "symlink":
                        with _told(report, path):
                            writer.link(path, self._plain.target(entry))
                    elif shard is None:
                        with _told(report, path):
                            writer.file(self._plain.file(path, [entry]))
                    elif path.key not in done:
                        done.add(path.key)
                        self._split(writer, report, survey, survey.splits[path.key])
                for unmet in self.unmet():
                    report.problem(unmet, "isn't in these CARs")
            for split in survey.splits.values():
                if self.lacks(split) is None:
                    _forget_shards(target, split, self._plain.known_size(split.size))
            report.warnings += self.damage()
        sync_file_system(to)
        return report

    def _split(self, writer: Writer, report: Report, survey: Survey, split: Split) -> None:
        numbers = sorted(split.shards)
        lacks = self.lacks(split)
        if lacks is None:
            with _told(report, split.path):
                writer.file(self._plain.file(split.path, [split.shards[number] for number in numbers]))
            return
        if split.path.fault:
            report.problem(split.path, split.path.fault)
            return
        names = list(split.path)
        folder = (survey.state, INCOMPLETE, *names[:-1])
        for number in numbers:
            name = car_names.encode(names[-1], number)
            writer.file(as_stored(path_of((*folder, name)), [split.shards[number]]))
        where = paths.display(path_of((*folder, names[-1])).shown())
        report.problem(split.path, f"{lacks} (what is there: {where}.ptolemy*)")

    def _there(self, target: Target) -> Iterator[int]:
        """Bytes of files that are at their places already."""
        for entry, path, shard in self.entries(lambda path, reason: None):
            if entry.kind == "file" and shard is None:
                with suppress(EntryError, ValueError):
                    yield target.bytes_there(path, self._plain.known_size(entry.size))


@contextmanager
def _told(report: Report, path: Path) -> Iterator[None]:
    """What can't be decrypted is a problem in the report."""
    try:
        yield
    except (DamagedError, BlockError) as error:
        report.problem(path, str(error))


def _forget_shards(target: Target, split: Split, size: int) -> None:
    """Remove shards that an earlier run kept apart, of a file of `size` bytes that is whole now."""
    with suppress(EntryError):
        found = target.look(split.path)
        if found is not None and found.st_size == size:
            names = list(split.path)
            for number in split.shards:
                target.forget((INCOMPLETE, *names[:-1], car_names.encode(names[-1], number)))
