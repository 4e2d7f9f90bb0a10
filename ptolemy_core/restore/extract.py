"""Extract: trees out of CARs alone, without a catalog; of any writer, and files split over several CARs.

Two walks over the CARs' folders: the first learns what is there (sizes, shards, whether all fits), the second
writes. Memory holds one path of folders and the shards of split files, not the tree.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from ptolemy_core.errors import PtolemyError
from ptolemy_core.layout import names as car_names
from ptolemy_core.reader.findings import CarError
from ptolemy_core.reader.hashes import cid_text
from ptolemy_core.restore.blocks import Blocks
from ptolemy_core.restore.dag import Entry, entries
from ptolemy_core.restore.durable import sync_file_system
from ptolemy_core.restore.report import FileItem, Report, Segment
from ptolemy_core.restore.shards import Naming, Split
from ptolemy_core.restore.target import STATE, EntryError, Names, Target, check_names, check_room, state_name
from ptolemy_core.restore.write import Writer
from ptolemy_core.tree import paths

INCOMPLETE = b"incomplete"
"""Folder in the state folder for shards of files of which other shards are missing."""


class CarsError(PtolemyError):
    """CARs that can't be opened."""


@dataclass
class Survey:
    """What the CARs hold of what is asked for.

    Attributes:
        size: bytes of all files together.
        splits: files that stand in shards, by NUL-joined path.
        state: a name for the state folder that the tree doesn't have.
    """

    size: int = 0
    splits: dict[bytes, Split] = field(default_factory=dict)
    state: bytes = STATE


class Extraction:
    """CARs that are open for extraction.

    Args:
        cars: paths of the CAR files, of any version and writer; they count as one set of blocks.
        wanted: real NUL-joined paths of files and folders; all if there are none.
        raw_names: take names that look like a shard's as they are.
        roots: binary CIDs to restore instead of the roots that the CARs name.
        complete: these are all CARs there are, so that no shard follows the ones in them.

    Raises:
        CarsError: one can't be opened, or isn't a CAR.
    """

    def __init__(
        self,
        cars: Sequence[str | bytes | os.PathLike[str]],
        *,
        wanted: Sequence[bytes] = (),
        raw_names: bool = False,
        roots: Sequence[bytes] = (),
        complete: bool = False,
    ) -> None:
        self._roots = tuple(roots)
        self._complete = complete
        self._last: dict[int, bytes] = {}  # the last path, in path order, that was met in each CAR
        try:
            self._blocks = Blocks(cars)
        except CarError as error:
            raise CarsError(f"{error}: give CAR files, version 1 or 2") from None
        except OSError as error:
            name = paths.display(os.fsencode(error.filename)) if error.filename else "a CAR"
            raise CarsError(f"{name} can't be read ({error.strerror})") from None
        self._naming = Naming(raw_names)
        self._wanted = [tuple(path.split(b"\0")) for path in wanted if path]
        self._met: set[Names] = set()

    def __enter__(self) -> "Extraction":
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()

    def entries(self, problem: Callable[[bytes, str], None]) -> Iterator[tuple[Entry, Names, int | None]]:
        """Entries of all CARs that are asked for: each with its real path, and its number if it is a shard."""
        seen: set[bytes] = set()
        for number, car in enumerate(self._blocks.cars):
            roots = self._roots or car.header.roots
            if not roots:
                problem(b"", f"{car.name} has no root: nothing says what is in it; give one")
            for root in roots:
                if root in seen:
                    continue
                seen.add(root)
                wanted = partial(self._may_hold, number)
                for entry in entries(self._blocks, root, number, wanted, problem):
                    if not entry.names:
                        # a root that is no folder has no name but its CID
                        entry = Entry(
                            (cid_text(root).encode(),),
                            entry.kind,
                            entry.size,
                            entry.cid,
                            entry.spot,
                            entry.target,
                        )
                        if not self._may_hold(number, entry.names):
                            continue
                    names, shard = self._naming.place(entry)
                    if not self._wanted or self._is_wanted(names):
                        yield entry, names, shard

    def _may_hold(self, car: int, names: Names) -> bool:
        """Whether an entry, by the names that its CAR has, or something below it, is asked for."""
        real = (*self._naming.folder(names[:-1]), names[-1])
        also = (*real[:-1], car_names.decode(names[-1])[0])  # a shard, or a real name that looks like one
        path = b"\0".join(also)
        if path > self._last.get(car, b""):
            self._last[car] = path
        if not self._wanted:
            return True
        for one in (real, also):
            for wanted in self._wanted:
                short = min(len(one), len(wanted))
                if one[:short] == wanted[:short]:
                    return True
        return False

    def _is_wanted(self, names: Names) -> bool:
        for wanted in self._wanted:
            if names[: len(wanted)] == wanted:
                self._met.add(wanted)
                return True
        return False

    def survey(self, problem: Callable[[bytes, str], None] = lambda path, reason: None) -> Survey:
        """Walk over all folders once."""
        seen = Survey()
        taken: set[bytes] = set()
        for entry, names, shard in self.entries(problem):
            if names[0].startswith(STATE):
                taken.add(names[0])
            if entry.kind != "file":
                continue
            if shard is None:
                seen.size += entry.size
                continue
            split = seen.splits.setdefault(b"\0".join(names), Split(names))
            if shard not in split.shards:
                seen.size += entry.size
            split.add(shard, entry)
        seen.state = state_name(taken)
        return seen

    def lacks(self, split: Split) -> str | None:
        """What keeps the shards of a file, after a survey, from being the whole file; None if nothing does."""
        last = split.shards[max(split.shards)]
        behind = self._last.get(last.spot.car, b"") > b"\0".join(split.names)
        return split.lacks(self._complete or behind)

    def unmet(self) -> list[bytes]:
        """The paths that were asked for and not met."""
        return [b"\0".join(one) for one in self._wanted if one not in self._met]

    def write(
        self,
        to: bytes,
        *,
        replace: bool = False,
        threads: int = 2,
        started: Callable[[int], None] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Report:
        """Restore everything that is asked for into a folder.

        Args:
            to: the folder; made if it isn't there.
            replace: write over files and links that are there and differ.
            threads: that read, hash and write at once.
            started: called once with the bytes that progress will add up to.
            progress: called with bytes done since the last call.

        Raises:
            TargetError: the folder can't be used, or has no room.
        """
        report = Report()
        survey = self.survey()
        if started:
            started(survey.size)
        with Target(to, survey.state) as target:
            check_room(target, survey.size, self._there(target))
            with Writer(
                self._blocks, target, report, replace=replace, threads=threads, progress=progress
            ) as writer:
                done: set[bytes] = set()
                for entry, names, shard in self.entries(report.problem):
                    if entry.kind == "directory":
                        writer.folder(names)
                    elif entry.kind == "symlink":
                        writer.link(names, entry.target or b"")
                    elif shard is None:
                        writer.file(_item(names, [entry]))
                    elif (path := b"\0".join(names)) not in done:
                        done.add(path)
                        self._split(writer, report, survey, path)
                for path in self.unmet():
                    report.problem(path, "isn't in these CARs")
            for split in survey.splits.values():
                if self.lacks(split) is None:
                    _forget_shards(target, split)
        sync_file_system(to)
        return report

    def _split(self, writer: Writer, report: Report, survey: Survey, path: bytes) -> None:
        split = survey.splits[path]
        numbers = sorted(split.shards)
        lacks = self.lacks(split)
        if lacks is None:
            writer.file(_item(split.names, [split.shards[number] for number in numbers]))
            return
        folder = (survey.state, INCOMPLETE)
        try:
            check_names(split.names)
        except EntryError as error:
            report.problem(path, str(error))
            return
        for number in numbers:
            name = car_names.encode(split.names[-1], number)
            writer.file(_item((*folder, *split.names[:-1], name), [split.shards[number]]))
        where = paths.display(b"\0".join((*folder, *split.names)))
        report.problem(path, f"{lacks} (what is there: {where}.ptolemy*)")

    def _there(self, target: Target) -> Iterator[int]:
        """Bytes of files that stand at their places already."""
        for entry, names, shard in self.entries(lambda path, reason: None):
            if entry.kind == "file" and shard is None:
                with suppress(EntryError, ValueError):
                    found = target.look(names)
                    if found is not None:
                        yield min(entry.size, found.st_blocks * 512)


def _forget_shards(target: Target, split: Split) -> None:
    """Remove shards that an earlier run kept apart, of a file that is whole now."""
    with suppress(EntryError):
        found = target.look(split.names)
        if found is not None and found.st_size == split.size:
            for number in split.shards:
                target.forget((INCOMPLETE, *split.names[:-1], car_names.encode(split.names[-1], number)))


def _item(names: Names, parts: Sequence[Entry]) -> FileItem:
    segments = []
    at = 0
    for part in parts:
        segments.append(Segment(at, part.size, part.cid, part.spot))
        at += part.size
    return FileItem(names, at, tuple(segments))
