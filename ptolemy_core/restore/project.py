"""Restore of a project, or of parts of it, as a scan saw it: the catalog says which CARs hold what, and where.

`load` reads from the catalog what a restore needs, and looks for the CARs; `work` is the restore, and needs no
catalog: entries may come from anywhere. Before anything is written it is known which CARs are missing. Every block is
checked against the CIDs of the catalog, a split file also as a whole.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ptolemy_core.catalog import data_keys, projects, scans, stored_cars, views
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.views import Entries, Shard, Stored, View
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.dag.stitch import file_cid
from ptolemy_core.encryption import PLAIN, Form, Header
from ptolemy_core.encryption.opening import open_cipher
from ptolemy_core.errors import DamagedError, OutlineError, PtolemyError, SourceError, StageOrderError
from ptolemy_core.keys import configured_keys
from ptolemy_core.progress import Progress
from ptolemy_core.project import Project
from ptolemy_core.reader.dagpb import Type
from ptolemy_core.reader.findings import CarError
from ptolemy_core.reader.seekable import CarFile
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.dag import read_node
from ptolemy_core.restore.durable import sync_file_system
from ptolemy_core.restore.path import path_of
from ptolemy_core.restore.remote import RemotePiece, Servers
from ptolemy_core.restore.report import FileItem, Report, Segment
from ptolemy_core.restore.target import EntryError, Target, check_free_space, state_name
from ptolemy_core.restore.write import Writer
from ptolemy_core.staging.stored import StoredCar
from ptolemy_core.tree import Kind, paths

if TYPE_CHECKING:  # it loads ciphers
    from ptolemy_core.encryption import ProjectCipher

_ASKED_AT_ONCE = 8
"""Servers are asked for so many CARs at once."""


class RestoreError(PtolemyError):
    """A restore that can't be done as it was asked for."""

    code = "restore-refused"


@dataclass(frozen=True, slots=True)
class NeededCar:
    """A CAR that holds something that is asked for.

    Attributes:
        car: its receipt.
        path: where it is, or its outline if it is generated; None if it isn't found.
        reason: why it is missing.
        generated: what it is generated from; None of a CAR that is a file.
        remote: the servers that have it; None if none is asked.
    """

    car: CarRow
    path: str | None
    reason: str = ""
    generated: StoredCar | None = None
    remote: RemotePiece | None = None

    def open(self) -> CarFile:
        """What its blocks are read from.

        Raises:
            OutlineError, SourceError: it can't be generated.
        """
        if self.generated is not None:
            return self.generated.open()
        if self.remote is not None:
            return self.remote
        assert self.path is not None
        return self.path


@dataclass(frozen=True, slots=True)
class Needs:
    """What a restore needs.

    Attributes:
        entries: files, links and empty folders that are asked for.
        size: bytes of the files.
        cars: that hold them, by container number.
        unbuilt: of the entries, those that are in no built CAR: some of their paths, for people.
    """

    entries: int = 0
    size: int = 0
    cars: list[NeededCar] = field(default_factory=list)
    unbuilt: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[NeededCar]:
        """The CARs that aren't found."""
        return [one for one in self.cars if one.path is None]


@dataclass(frozen=True, slots=True)
class RestoreJob:
    """All that a restore needs beside the entries.

    Attributes:
        needs: the CARs, and where they are.
        state_folder: name of the folder in the target with a restore's own state; no entry has it.
        profile: of the DAG.
        cipher: of an encrypted project.
    """

    needs: Needs
    state_folder: bytes
    profile: Profile = UNIXFS_V1_2025
    cipher: "ProjectCipher | None" = None


@dataclass(frozen=True, slots=True)
class Writing:
    """How a restore writes.

    Attributes:
        replace: write over files and links that are there and differ.
        sparse: leave out zeros, so that they are holes.
        threads: that read, hash and write at once.
    """

    replace: bool = False
    sparse: bool = True
    threads: int = 2


_USUAL = Writing()


class ProjectRestore:
    """A restore of what a scan of a project saw.

    Args:
        catalog: where the project is.
        name: the project's.
        wanted: NUL-joined paths of files and folders; all if there are none.
        folders: where CARs are looked for; the project's staging_dir if there are none.
        servers: that have the pieces, and are asked for CARs that are in none of `folders`.
        scan_id: the scan whose view is restored; the newest if None.
        profile: of the DAG.

    Raises:
        UnknownProjectError: no such project.
        RestoreError: no such scan, or no entry matches.
    """

    def __init__(
        self,
        catalog: Catalog,
        name: str,
        *,
        wanted: Sequence[bytes] = (),
        folders: Sequence[str] = (),
        servers: Servers | None = None,
        scan_id: int | None = None,
        profile: Profile = UNIXFS_V1_2025,
    ) -> None:
        view = View(name, scan_id, tuple(path for path in wanted if path))
        self._job = load(catalog, view, folders, profile, servers)
        self._entries = Entries(catalog, view)

    @property
    def needs(self) -> Needs:
        """What it needs."""
        return self._job.needs

    def write(
        self,
        to: bytes,
        *,
        replace: bool = False,
        sparse: bool = True,
        threads: int = 2,
        progress: Progress | None = None,
    ) -> Report:
        """Restore into a folder; what is in CARs that are missing is a problem in the report.

        Args:
            to: the folder; made if it isn't there.
            replace: write over files and links that are there and differ.
            sparse: leave out zeros, so that they are holes.
            threads: that read, hash and write at once.
            progress: called with bytes done since the last call, `needs.size` in all.

        Raises:
            TargetError: the folder can't be used, or has too little free space.
            RestoreError: a CAR can't be opened, or is another than its name says.
        """
        return work(self._job, self._entries, to, Writing(replace, sparse, threads), progress=progress)


def load(
    catalog: Catalog,
    view: View,
    folders: Sequence[str] = (),
    profile: Profile = UNIXFS_V1_2025,
    servers: Servers | None = None,
) -> RestoreJob:
    """Read what the restore of a view needs, and look for its CARs.

    Args:
        catalog: where the project is.
        view: what to restore.
        folders: where CARs are looked for; the project's staging_dir if there are none.
        profile: of the DAG.
        servers: that are asked for CARs that are in none of `folders`.

    Raises:
        UnknownProjectError, StageOrderError: no such project; it isn't scanned.
        RestoreError: no such scan, or no entry matches.
    """
    project = projects.get(catalog, view.project)
    _require_known(catalog, view)
    totals = views.totals(catalog, view)
    needs = Needs(
        entries=totals.entries,
        size=totals.size,
        cars=looked_for(views.holding(catalog, view), project, folders, servers),
        unbuilt=[paths.display(path) for path in totals.unbuilt],
    )
    taken = views.names_at_top(catalog, view, state_name(()))
    return RestoreJob(needs, state_name(taken), profile, _cipher(catalog, project, profile))


def _cipher(catalog: Catalog, project: Project, profile: Profile) -> "ProjectCipher | None":
    if not project.is_encrypted:
        return None
    wrapped = data_keys.data_keys(catalog, project.name)
    return open_cipher(wrapped, configured_keys(), segment=profile.chunk)


def _require_known(catalog: Catalog, view: View) -> None:
    """See that a view's scan is one of the project, and that it saw something at each of the paths."""
    name = view.project
    if view.scan is None and not scans.is_scanned(catalog, name):
        raise StageOrderError.needs(name, "isn't scanned yet, so there is nothing to restore", "scan")
    if view.scan is not None and view.scan not in (known := views.scan_numbers(catalog, name)):
        raise RestoreError(
            f"project {name!r} has no scan {view.scan}: its scans are {', '.join(map(str, known)) or 'none'}"
        )
    for path in view.below:
        if views.is_empty(catalog, View(name, view.scan, (path,))):
            raise RestoreError(
                f"project {name!r} has no entry {paths.display(path)!r}: "
                "give a path below target_dir, as `ptolemy find` shows it"
            )


def work(
    job: RestoreJob,
    entries: Iterable[Stored],
    to: bytes,
    how: Writing = _USUAL,
    *,
    progress: Progress | None = None,
) -> Report:
    """Restore entries into a folder. It needs no catalog.

    Args:
        job: what is needed.
        entries: what to restore, in path order; iterated twice where the folder has little free space.
        to: the folder; made if it isn't there.
        how: to write.
        progress: called with bytes done since the last call, `job.needs.size` in all.

    Raises:
        TargetError: the folder can't be used, or has too little free space.
        RestoreError: a CAR can't be opened, or is another than its name says.
    """
    report = Report()
    here = [one for one in job.needs.cars if one.path is not None]
    try:
        blocks = Blocks([one.open() for one in here], index=False)
    except (CarError, OSError, OutlineError, SourceError) as error:
        raise RestoreError(f"a CAR can't be opened: {error}") from None
    try:
        for one, opened in zip(here, blocks.cars, strict=True):
            if opened.header.roots != (one.car.payload_cid,):
                raise RestoreError(
                    f"{opened.name} is another CAR: its root isn't {cid.to_text(one.car.payload_cid)}"
                )
        with Target(to, job.state_folder, replace=how.replace) as target:
            check_free_space(target, job.needs.size, _there(target, entries))
            with Writer(
                blocks, target, report, sparse=how.sparse, threads=how.threads, progress=progress
            ) as writer:
                numbers = {one.car.container_id: number for number, one in enumerate(here)}
                each = _EachEntry(writer, report, blocks, numbers, job)
                for entry in entries:
                    each.restore(entry)
        report.warnings += blocks.damage([one.car.car_size for one in here])
    finally:
        blocks.close()
    sync_file_system(to)
    return report


@dataclass(frozen=True, slots=True)
class _EachEntry:
    """Hands entries to the writer; `numbers` are the open CARs' by container."""

    writer: Writer
    report: Report
    blocks: Blocks
    numbers: dict[int, int]
    job: RestoreJob

    def restore(self, entry: Stored) -> None:
        place = path_of(paths.names(entry.path))
        lost = [one for one in entry.shards if one.cid is None or one.container_id not in self.numbers]
        if lost or not entry.shards:
            self.report.problem(entry.path, _lost(lost))
            return
        cipher = self.job.cipher
        car_path = entry.path if cipher is None else cipher.car_path(entry.path)
        segments = tuple(self._segment(entry, one) for one in entry.shards)
        if entry.kind == Kind.DIRECTORY:
            self.writer.folder(place, entry.mtime)
        elif entry.kind == Kind.SYMLINK:
            try:
                target = _link_target(self.blocks, segments[0])
                if cipher is not None:
                    target = cipher.real_target(car_path, target)
                if entry.target is not None and target != entry.target:
                    raise BlockError("the CAR has a link that leads elsewhere than the catalog says")
            except (BlockError, DamagedError) as error:
                self.report.problem(entry.path, str(error))
                return
            self.writer.link(place, target, entry.mtime)
        elif sum(one.length for one in entry.shards) != entry.size:
            self.report.problem(
                entry.path, "not all of its shards are planned yet: run containerize and blitz"
            )
        else:
            size = self._form.file_size(entry.size)
            check = _whole(entry.cid, size, segments, self.job.profile) if len(segments) > 1 else None
            file = None if cipher is None else cipher.file(car_path, _header(entry), entry.size)
            self.writer.file(FileItem(place, entry.size, segments, entry.mtime, check, file))

    @property
    def _form(self) -> Form:
        return PLAIN if self.job.cipher is None else self.job.cipher.form

    def _segment(self, entry: Stored, one: Shard) -> Segment:
        """A shard as it is in its CAR."""
        assert one.cid is not None
        assert one.car_offset is not None
        start, length = one.start, one.length
        if entry.kind == Kind.FILE and self._form.files:
            start, length = self._form.file_range(entry.size, start, length)
        return Segment(start, length, one.cid, Spot(self.numbers[one.container_id], one.car_offset))


def _header(entry: Stored) -> Header:
    if entry.header is None:
        raise RestoreError(
            f"{paths.display(entry.path)} has no salt in the catalog, so it can't be decrypted: use a copy of the "
            "catalog, or extract it from its CAR (ptolemy extract --key)"
        )
    return Header.of_bytes(entry.header)


def _whole(
    wanted: bytes | None, size: int, segments: tuple[Segment, ...], profile: Profile
) -> Callable[[list[bytes]], str | None] | None:
    """The check of a split file's CID as a whole; None while that isn't known."""
    if wanted is None:
        return None
    last = segments[-1]
    bare = last.length <= profile.chunk

    def check(nodes: list[bytes]) -> str | None:
        lowest = b"".join(node[4:] for node in nodes) + (last.cid[4:] if bare else b"")
        try:
            got = file_cid(size, lowest, profile, bare_leaf=bare)
        except ValueError as error:
            return str(error)
        if got == wanted:
            return None
        return f"its CID as a whole is {cid.to_text(got)}, the catalog says {cid.to_text(wanted)}"

    return check


def _there(target: Target, entries: Iterable[Stored]) -> Iterator[int]:
    """Bytes of files that are at their places already."""
    for entry in entries:
        if entry.kind == Kind.FILE:
            with suppress(EntryError):
                yield target.bytes_there(path_of(paths.names(entry.path)), entry.size)


def _lost(lost: list[Shard]) -> str:
    """Why these shards of an entry, or an entry without any, can't be restored."""
    unbuilt = not lost or lost[0].cid is None
    why = "it is in no built CAR: run blitz" if unbuilt else "its CAR is missing"
    if not lost or lost[0].number is None:
        return why
    numbers = ", ".join(str(one.number) for one in lost[:10]) + ("…" if len(lost) > 10 else "")
    return f"shard {numbers}: {why}"


def looked_for(
    rows: Sequence[CarRow], project: Project | None, folders: Sequence[str], servers: Servers | None
) -> list[NeededCar]:
    """Look for CARs: in folders, and then at servers; where neither is given, at the project's own place."""
    if servers is None:
        assert project is not None
        return [_needed(project, row, folders) for row in rows]
    found = [_found(row, folders) for row in rows]
    with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="ask") as pool:
        return list(pool.map(lambda one: one if one.path else _at_servers(one.car, servers), found))


def _at_servers(row: CarRow, servers: Servers) -> NeededCar:
    remote = servers.piece(row)
    fault = remote.find()
    return NeededCar(row, None, fault) if fault else NeededCar(row, remote.place, remote=remote)


def _needed(project: Project, row: CarRow, folders: Sequence[str]) -> NeededCar:
    """Look for a CAR; a generated one needs no file, but may have been written as one into a folder."""
    found = _found(row, folders or [project.staging_dir])
    if found.path is not None or folders or not row.is_generated:
        return found
    stored = stored_cars.of_row(project, row)
    if stored.dead is not None:
        return NeededCar(row, None, f"it can't be generated any more: {stored.dead}")
    if stored.look() is None:
        return NeededCar(row, None, f"its outline is missing: ptolemy rebuild {stored.label} makes it again")
    return NeededCar(row, stored.outline_path, generated=stored)


def _found(row: CarRow, folders: Sequence[str]) -> NeededCar:
    """Look for a CAR under the names that it may have."""
    reason = "not found"
    names = dict.fromkeys(
        (row.file_name, f"{cid.to_text(row.piece_cid_v1)}.car", f"{cid.to_text(row.piece_cid_v2)}.car")
    )
    for folder in folders:
        for name in names:
            place = os.path.join(folder, name)
            try:
                size = os.stat(place).st_size
            except OSError as error:
                if not isinstance(error, FileNotFoundError):
                    reason = f"{place} can't be read ({error.strerror})"
                continue
            if size >= row.car_size:  # a piece may be padded with zeros
                return NeededCar(row, place)
            reason = f"{place} has {size:,} bytes of {row.car_size:,}"
    return NeededCar(row, None, reason)


def _link_target(blocks: Blocks, segment: Segment) -> bytes:
    node = read_node(blocks, segment.cid, segment.spot)
    if node.unixfs.type != Type.SYMLINK or node.unixfs.data is None:
        raise BlockError(f"{cid.to_text(segment.cid)} isn't a symbolic link")
    return node.unixfs.data
