"""Restore of a project, or of parts of it, as a scan saw it: the catalog says which CARs hold what, and where.

Before anything is written it is known which CARs are needed and which of them are missing. Every block is
checked against the CIDs of the catalog, a split file also as a whole.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog import cars, projects, scans
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.schema import built_shard, car, file, scan, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.dag.stitch import file_cid
from ptolemy_core.errors import PtolemyError, StageOrderError
from ptolemy_core.layout import WHOLE
from ptolemy_core.reader.dagpb import Type
from ptolemy_core.reader.findings import CarError
from ptolemy_core.restore.blocks import BlockError, Blocks, Spot
from ptolemy_core.restore.dag import read_node
from ptolemy_core.restore.durable import sync_file_system
from ptolemy_core.restore.path import path_of
from ptolemy_core.restore.report import FileItem, Report, Segment
from ptolemy_core.restore.target import EntryError, Target, check_room, state_name
from ptolemy_core.restore.write import Writer
from ptolemy_core.tree import SEPARATOR, Kind, paths

_PAGE = 5000


class RestoreError(PtolemyError):
    """A restore that can't be done as it was asked for."""

    code = "restore-refused"


@dataclass(frozen=True, slots=True)
class NeededCar:
    """A CAR that holds something that is asked for.

    Attributes:
        car: its receipt.
        path: where it is, None if it isn't found.
        reason: why it is missing.
    """

    car: CarRow
    path: str | None
    reason: str = ""


@dataclass
class Needs:
    """What a restore needs.

    Attributes:
        entries: files, links and empty folders that are asked for.
        size: bytes of the files.
        cars: that hold them, by container number.
        unbuilt: of the entries, those that stand in no built CAR: some of their paths, for people.
    """

    entries: int = 0
    size: int = 0
    cars: list[NeededCar] = field(default_factory=list)
    unbuilt: list[str] = field(default_factory=list)

    @property
    def missing(self) -> list[NeededCar]:
        """The CARs that aren't found."""
        return [one for one in self.cars if one.path is None]


class ProjectRestore:
    """A restore of what a scan of a project saw.

    Args:
        catalog: that holds the project.
        name: the project's.
        wanted: NUL-joined paths of files and folders; all if there are none.
        folders: where CARs are looked for; the project's staging_dir if there are none.
        scan_id: the scan whose view is restored; the newest if None.
        profile: of the DAG.

    Raises:
        UnknownProjectError: no such project.
        RestoreError: no such scan, or nothing is called as asked.
    """

    def __init__(
        self,
        catalog: Catalog,
        name: str,
        *,
        wanted: Sequence[bytes] = (),
        folders: Sequence[str] = (),
        scan_id: int | None = None,
        profile: Profile = UNIXFS_V1_2025,
    ) -> None:
        self._catalog = catalog
        self._name = name
        self._profile = profile
        project = projects.get(catalog, name)
        if scan_id is None and not scans.is_scanned(catalog, name):
            raise StageOrderError.needs(name, "isn't scanned yet, so there is nothing to restore", "scan")
        self._folders = list(folders) or [project.staging_dir]
        self._where = [file.c.project == name, file.c.kind >= 0, self._version(scan_id)]
        chosen = [path for path in wanted if path]
        if chosen:
            self._where.append(sa.or_(*(_at_or_below(path) for path in chosen)))
        self.needs = self._needs()
        with catalog.read() as connection:
            for path in chosen:
                query = sa.select(file.c.id).where(*self._where[:3], _at_or_below(path)).limit(1)
                if connection.scalar(query) is None:
                    raise RestoreError(
                        f"project {name!r} has nothing called {paths.display(path)!r}: "
                        "give a path below target_dir, as `ptolemy find` shows it"
                    )

    def _version(self, scan_id: int | None) -> sa.ColumnElement[bool]:
        if scan_id is None:
            return file.c.gone_scan.is_(None)
        with self._catalog.read() as connection:
            known = list(
                connection.scalars(
                    sa.select(scan.c.id).where(scan.c.project == self._name).order_by(scan.c.id)
                )
            )
        if scan_id not in known:
            raise RestoreError(
                f"project {self._name!r} has no scan {scan_id}: its scans are {', '.join(map(str, known)) or 'none'}"
            )
        return sa.and_(
            file.c.first_scan <= scan_id, sa.or_(file.c.gone_scan.is_(None), file.c.gone_scan > scan_id)
        )

    def _needs(self) -> Needs:
        needs = Needs()
        built = sa.exists().where(shard.c.file_id == file.c.id, car.c.container_id == shard.c.container_id)
        is_file = file.c.kind == Kind.FILE
        with self._catalog.read() as connection:
            needs.entries = (
                connection.scalar(sa.select(sa.func.count()).select_from(file).where(*self._where)) or 0
            )
            size = sa.select(sa.func.sum(file.c.size)).where(*self._where, is_file)
            needs.size = int(connection.scalar(size) or 0)
            holding = set(
                connection.scalars(
                    sa.select(shard.c.container_id)
                    .join(file, file.c.id == shard.c.file_id)
                    .where(*self._where)
                    .distinct()
                )
            )
            unbuilt = sa.select(file.c.path).where(*self._where, ~built).order_by(file.c.path).limit(10)
            needs.unbuilt = [paths.display(bytes(path)) for path in connection.scalars(unbuilt)]
        needs.cars = [
            _found(row, self._folders)
            for row in cars.rows(self._catalog, self._name)
            if row.container_id in holding
        ]
        return needs

    def write(
        self,
        to: bytes,
        *,
        replace: bool = False,
        sparse: bool = True,
        threads: int = 2,
        progress: Callable[[int], None] | None = None,
    ) -> Report:
        """Restore into a folder; what is in CARs that are missing is a problem in the report.

        Args:
            to: the folder; made if it isn't there.
            replace: write over files and links that are there and differ.
            sparse: leave out zeros, so that they are holes.
            threads: that read, hash and write at once.
            progress: called with bytes done since the last call, `needs.size` in all.

        Raises:
            TargetError: the folder can't be used, or has no room.
            RestoreError: a CAR can't be opened, or is another than its name says.
        """
        report = Report()
        here = [one for one in self.needs.cars if one.path is not None]
        numbers = {one.car.container_id: number for number, one in enumerate(here)}
        try:
            blocks = Blocks([one.path for one in here if one.path], index=False)
        except (CarError, OSError) as error:
            raise RestoreError(f"a CAR can't be opened: {error}") from None
        try:
            for one, opened in zip(here, blocks.cars, strict=True):
                if opened.header.roots != (one.car.payload_cid,):
                    raise RestoreError(
                        f"{opened.name} is another CAR: its root isn't {cid.to_text(one.car.payload_cid)}"
                    )
            with Target(to, state_name(self._tops()), replace=replace) as target:
                check_room(target, self.needs.size, self._there(target))
                with Writer(
                    blocks, target, report, sparse=sparse, threads=threads, progress=progress
                ) as writer:
                    for rows in self._files():
                        self._entry(writer, report, blocks, numbers, rows)
            report.warnings += blocks.damage([one.car.car_size for one in here])
        finally:
            blocks.close()
        sync_file_system(to)
        return report

    def _entry(
        self,
        writer: Writer,
        report: Report,
        blocks: Blocks,
        numbers: dict[int, int],
        rows: list[sa.Row[Any]],
    ) -> None:
        one = rows[0]
        path = bytes(one.path)
        place = path_of(path.split(SEPARATOR))
        lost = [row for row in rows if row.cid is None or row.container_id not in numbers]
        if lost:
            report.problem(path, _lost(one, lost))
            return
        segments = tuple(
            Segment(row.start, row.length, bytes(row.cid), Spot(numbers[row.container_id], row.car_offset))
            for row in rows
        )
        if one.kind == Kind.DIRECTORY:
            writer.folder(place, one.mtime)
        elif one.kind == Kind.SYMLINK:
            try:
                target = _link_target(blocks, segments[0])
                if target != bytes(one.target):
                    raise BlockError("the CAR has a link that leads elsewhere than the catalog says")
            except BlockError as error:
                report.problem(path, str(error))
                return
            writer.link(place, target, one.mtime)
        elif sum(part.length for part in segments) != one.size:
            report.problem(path, "not all of its shards are planned yet: run containerize and blitz")
        else:
            check = self._whole(one, segments) if len(segments) > 1 and one.file_cid is not None else None
            writer.file(FileItem(place, one.size, segments, one.mtime, check))

    def _whole(self, row: sa.Row[Any], segments: tuple[Segment, ...]) -> Callable[[list[bytes]], str | None]:
        """The check of a split file's CID as a whole."""
        wanted, last = bytes(row.file_cid), segments[-1]
        bare = last.length <= self._profile.chunk

        def check(nodes: list[bytes]) -> str | None:
            lowest = b"".join(node[4:] for node in nodes) + (last.cid[4:] if bare else b"")
            try:
                got = file_cid(row.size, lowest, self._profile, bare_leaf=bare)
            except ValueError as error:
                return str(error)
            if got == wanted:
                return None
            return f"its CID as a whole is {cid.to_text(got)}, the catalog says {cid.to_text(wanted)}"

        return check

    def _files(self) -> Iterator[list[sa.Row[Any]]]:
        """The rows of each entry's shards, entry by entry."""
        query = (
            sa.select(
                file.c.id,
                file.c.path,
                file.c.kind,
                file.c.size,
                file.c.mtime,
                file.c.target,
                file.c.cid.label("file_cid"),
                shard.c.container_id,
                shard.c.number,
                shard.c.start,
                shard.c.length,
                built_shard.c.cid,
                built_shard.c.car_offset,
            )
            .select_from(file)
            .outerjoin(shard, shard.c.file_id == file.c.id)
            .outerjoin(
                built_shard,
                sa.and_(
                    built_shard.c.container_id == shard.c.container_id,
                    built_shard.c.position == shard.c.position,
                ),
            )
            .where(*self._where)
            .order_by(file.c.path, file.c.id, shard.c.number)
        )
        rows: list[sa.Row[Any]] = []
        with self._catalog.read() as connection:
            for row in connection.execution_options(yield_per=_PAGE).execute(query):
                if rows and rows[0].id != row.id:
                    yield rows
                    rows = []
                rows.append(row)
        if rows:
            yield rows

    def _tops(self) -> Iterator[bytes]:
        """Names at the top that look like the state folder's."""
        prefix = state_name(())
        query = sa.select(file.c.path).where(
            *self._where[:3], file.c.path >= prefix, file.c.path < prefix + b"\xff"
        )
        with self._catalog.read() as connection:
            for path in connection.scalars(query):
                yield bytes(path).split(SEPARATOR, 1)[0]

    def _there(self, target: Target) -> Iterator[int]:
        """Bytes of files that stand at their places already."""
        query = sa.select(file.c.path, file.c.size).where(*self._where, file.c.kind == Kind.FILE)
        with self._catalog.read() as connection:
            for path, size in connection.execution_options(yield_per=_PAGE).execute(query):
                with suppress(EntryError):
                    yield target.bytes_there(path_of(bytes(path).split(SEPARATOR)), size)


def _lost(row: sa.Row[Any], lost: list[sa.Row[Any]]) -> str:
    """Why these shards of a file can't be restored."""
    why = "no CAR that is built holds it: run blitz" if lost[0].cid is None else "its CAR is missing"
    if row.number is None or row.number == WHOLE:
        return why
    numbers = ", ".join(str(one.number) for one in lost[:10]) + ("…" if len(lost) > 10 else "")
    return f"shard {numbers}: {why}"


def _at_or_below(path: bytes) -> sa.ColumnElement[bool]:
    below = path + SEPARATOR
    end = path + bytes((SEPARATOR[0] + 1,))
    return sa.or_(file.c.path == path, sa.and_(file.c.path >= below, file.c.path < end))


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
        raise BlockError(f"{cid.to_text(segment.cid)} is no symbolic link")
    return node.unixfs.data
