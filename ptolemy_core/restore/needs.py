"""Which CARs a restore needs, and where they are: in folders, in the staging area, at servers."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ptolemy_core.catalog import stored_cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_core.errors import PtolemyError, StagingError
from ptolemy_core.project import Project
from ptolemy_core.reader.seekable import CarFile
from ptolemy_core.restore.remote import RemotePiece, Servers
from ptolemy_core.staging.stored import StoredCar

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
        stored: how it is opened, if it is generated or in an object store; None of a CAR that is a file.
        remote: the servers that have it; None if none is asked.
    """

    car: CarRow
    path: str | None
    reason: str = ""
    stored: StoredCar | None = None
    remote: RemotePiece | None = None

    def open(self) -> CarFile:
        """What its blocks are read from.

        Raises:
            OutlineError, SourceError: it can't be generated.
        """
        if self.stored is not None:
            return self.stored.open()
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


def looked_for(
    rows: Sequence[CarRow], project: Project | None, folders: Sequence[str], servers: Servers | None
) -> list[NeededCar]:
    """Look for CARs: in folders, and then at servers; where neither is given, at the project's own place."""
    if servers is None and project is not None:
        return [_needed(project, row, folders) for row in rows]
    found = [_found(row, folders) for row in rows]
    if servers is None:
        return found
    with ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="ask") as pool:
        return list(pool.map(lambda one: one if one.path else _at_servers(one.car, servers), found))


def _at_servers(row: CarRow, servers: Servers) -> NeededCar:
    remote = servers.piece(row)
    fault = remote.find()
    return NeededCar(row, None, fault) if fault else NeededCar(row, remote.place, remote=remote)


def _needed(project: Project, row: CarRow, folders: Sequence[str]) -> NeededCar:
    """Look for a CAR; a generated one needs no file, but may have been written as one into a folder."""
    stored = stored_cars.of_row(project, row)
    if stored.in_store and not folders and not row.is_generated:
        return _in_store(row, stored)
    found = _found(row, folders or ([] if stored.in_store else [project.staging_dir]))
    if found.path is not None or folders or not row.is_generated:
        return found
    if stored.dead is not None:
        return NeededCar(row, None, f"it can't be generated any more: {stored.dead}")
    try:
        outline = stored.look()
    except StagingError as error:
        return NeededCar(row, None, str(error))
    if outline is None:
        return NeededCar(row, None, f"its outline is missing: ptolemy rebuild {stored.label} makes it again")
    return NeededCar(row, stored.outline_path, stored=stored)


def _in_store(row: CarRow, stored: StoredCar) -> NeededCar:
    """Look for a CAR that is staged in an object store."""
    try:
        found = stored.look()
    except StagingError as error:
        return NeededCar(row, None, str(error))
    if found is None:
        return NeededCar(row, None, f"{stored.path} isn't there")
    if found.size != row.car_size:
        return NeededCar(row, None, f"{stored.path} has {found.size:,} bytes of {row.car_size:,}")
    return NeededCar(row, stored.path, stored=stored)


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
