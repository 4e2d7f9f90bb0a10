"""Verify: CARs are read back by a reader that shares nothing with the builder, and held against the catalog."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core import paths
from ptolemy_core.catalog import cars, delivery, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.progress import Reporter
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import StageOrderError
from ptolemy_core.layout import WHOLE, Kind, names
from ptolemy_core.layout.items import SEPARATOR
from ptolemy_core.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.reader import Entry, Expected, verify_car
from ptolemy_core.stages import room

_KINDS = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "symlink"}
_SHOWN = 20

_Key = tuple[bytes, int | None]
_Value = tuple[str, int, bytes, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verification of one CAR found; `problems` are sentences, none if all is well.

    Attributes:
        car: the CAR's receipt.
        blocks: read and hashed.
        entries: files (or shards), links and empty folders that agree with the scan.
        away: it is marked as delivered and not in the staging folder any more, so nothing was read.
    """

    car: CarRow
    blocks: int
    entries: int
    problems: list[str]
    away: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    catalog: Catalog,
    name: str,
    *,
    number: int | None = None,
    profile: Profile = UNIXFS_V1_2025,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Verdict]:
    """Verify the CARs of a project in its staging folder, one by one, and record those that pass wholly.

    Args:
        catalog: that holds the project.
        name: the project's.
        number: of the only container to verify.
        profile: of the DAG.
        progress: called with bytes read since the last call.

    Raises:
        UnknownProjectError: no such project.
        StageOrderError: none of the asked CARs is built.
    """
    project = projects.get(catalog, name)
    rows = list(cars.rows(catalog, name, number))
    if not rows:
        which = "no CAR" if number is None else f"no CAR of container {number}"
        raise StageOrderError(f"project {name!r} has {which} built yet: run `ptolemy blitz {name}` first")
    total = sum(row.car_size for row in rows if not room.is_away(project, row))
    with Reporter(catalog, name, "verify", total) as reporter:
        for row in rows:
            done = 0

            def report(so_far: int) -> None:
                nonlocal done
                step, done = so_far - done, so_far
                reporter.advance(step)
                if progress:
                    progress(step)

            if room.is_away(project, row):
                yield Verdict(row, 0, 0, [], away=True)
                continue
            yield _verify_one(catalog, os.path.join(project.staging_dir, row.file_name), row, profile, report)


def _verify_one(
    catalog: Catalog, path: str, row: CarRow, profile: Profile, progress: Callable[[int], None]
) -> Verdict:
    listing = _Listing()
    expect = Expected(
        payload_cid=row.payload_cid,
        piece_cid_v1=row.piece_cid_v1,
        piece_cid_v2=row.piece_cid_v2,
        car_size=row.car_size,
        piece_size=row.piece_size,
        sha256=row.sha256,
    )
    try:
        report = verify_car(path, profile, expect=expect, on_entry=listing.meet, progress=progress)
    except FileNotFoundError as error:
        problem = (
            f"{row.file_name} can't be read: {error.strerror}; if it was delivered, say so: "
            f"ptolemy release {row.project}/{row.number} --note WHERE; else materialize car "
            f"{row.project}|{row.number:06d} to build it again"
        )
        return Verdict(row, 0, 0, [problem])
    except OSError as error:
        return Verdict(row, 0, 0, [f"{row.file_name} can't be read: {error.strerror}"])
    problems = [f"{row.file_name} at byte {f.offset}: {f.message} ({f.code})" for f in report.findings]
    problems += [f"{row.file_name}: {problem}" for problem in listing.differences(catalog, row.container_id)]
    if not problems or row.verified_at is not None:
        delivery.set_verified(catalog, row, not problems)
    return Verdict(row, report.blocks, len(listing.found), problems)


class _Listing:
    """Entries met in a CAR, by real path and shard number; folders apart."""

    def __init__(self) -> None:
        self.found: dict[_Key, _Value] = {}
        self.folders: set[bytes] = set()
        self.twice: list[bytes] = []

    def meet(self, entry: Entry) -> None:
        parts = [names.decode(part) for part in entry.path.split(b"/")]
        path = SEPARATOR.join(part for part, _ in parts)
        if entry.kind == "directory":
            self.folders.add(path)
            return
        key = (path, parts[-1][1])
        if key in self.found:
            self.twice.append(path)
        self.found[key] = (entry.kind, entry.size, entry.cid, entry.offset)

    def differences(self, catalog: Catalog, container_id: int) -> list[str]:
        """Where the CAR's tree isn't what the scan saw and the receipt says, as sentences."""
        problems = [f"{paths.display(path)} stands in it twice" for path in self.twice[:_SHOWN]]
        folders: set[bytes] = set()
        unmet = set(self.found)
        for row in _expected(catalog, container_id):
            path = bytes(row.path)
            folder = path.rpartition(SEPARATOR)[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition(SEPARATOR)[0]
            if row.kind == Kind.DIRECTORY:
                folders.add(path)
                continue
            key = (path, None if row.number == WHOLE else row.number)
            unmet.discard(key)
            wanted = (_KINDS[Kind(row.kind)], row.length, bytes(row.cid), row.car_offset)
            if self.found.get(key) != wanted:
                problems.append(_difference(paths.display(path), self.found.get(key), wanted))
        problems += [f"{paths.display(path)} isn't in the scan" for path, _ in sorted(unmet)[:_SHOWN]]
        problems += [f"folder {paths.display(p)} is missing" for p in sorted(folders - self.folders)[:_SHOWN]]
        problems += [
            f"folder {paths.display(p)} isn't in the scan" for p in sorted(self.folders - folders)[:_SHOWN]
        ]
        return problems[: 5 * _SHOWN]


def _difference(path: str, got: _Value | None, wanted: _Value) -> str:
    if got is None:
        return f"{path} is missing"
    for what, ours, theirs in zip(("kind", "size", "CID", "offset"), wanted, got, strict=True):
        if ours != theirs:
            return f"{path} has another {what} than the catalog says"
    return f"{path} differs"


def _expected(catalog: Catalog, container_id: int) -> Iterator[sa.Row[tuple[object, ...]]]:
    query = (
        sa.select(
            file.c.path,
            file.c.kind,
            shard.c.number,
            shard.c.length,
            built_shard.c.cid,
            built_shard.c.car_offset,
        )
        .join(shard, shard.c.file_id == file.c.id)
        .join(
            built_shard,
            sa.and_(
                built_shard.c.container_id == shard.c.container_id,
                built_shard.c.position == shard.c.position,
            ),
        )
        .where(shard.c.container_id == container_id)
    )
    with catalog.read() as connection:
        yield from connection.execution_options(yield_per=10_000).execute(query)
