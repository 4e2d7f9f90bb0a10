"""Look-up: which CAR and piece holds a path, and what a CID names.

Every look-up reads index ranges, page by page: what it costs depends on what it finds, not on the catalog's size.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from ptolemy_core.catalog import located, path_range, projects
from ptolemy_core.catalog.path_range import PathRange
from ptolemy_core.catalog.schema import dataset_root
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.layout import HEADER_SIZE, WHOLE
from ptolemy_core.tree import KIND_NAMES, Kind, paths


@dataclass(frozen=True, slots=True)
class Found:
    """A shard, link or empty folder that a look-up met, and where it is. Sizes and offsets are bytes.

    Attributes:
        project, path, kind, size: of the file; path as `paths.escape` writes it. The root of a whole
            data set has an empty path, kind "directory" and no container.
        version: the scan that found this version of the file.
        current: False for a version that a later scan found changed or gone.
        shard, start, length: number within a split file (None: whole), and byte range of the file.
        cid, file_cid: of the shard, and of the whole file; None while they aren't built.
        container, file_name, payload_cid, piece_cid, piece_cid_v2: the CAR that holds it; None while unbuilt.
        car_storage, dead: how that CAR is stored, and why it can't be read any more.
        sha256: of the whole file as the source has it, hex; None where it isn't recorded.
        car_offset, car_length: the byte range of the CAR with the sections of all of its blocks.
    """

    project: str
    path: str
    kind: str
    size: int
    version: int
    current: bool
    shard: int | None
    start: int | None
    length: int | None
    cid: str | None
    file_cid: str | None
    container: int | None
    car_offset: int | None
    car_length: int | None
    payload_cid: str | None
    piece_cid: str | None
    piece_cid_v2: str | None
    file_name: str | None
    car_storage: str | None = None
    dead: str | None = None
    sha256: str | None = None


def find_path(
    catalog: Catalog,
    text: str,
    project: str | None = None,
    *,
    gone: bool = True,
    profile: Profile = UNIXFS_V1_2025,
) -> Iterator[Found]:
    """The entry of this path, or all entries below it if it is a folder, in path order.

    Args:
        catalog: to look in.
        text: names joined by `/`, any bytes through surrogates.
        project: look in this one only.
        gone: also versions that a later scan found changed or gone, after one another.
        profile: of the DAGs.
    """
    return _in_range(catalog, path_range.entry_or_below(text), project, gone, profile)


def find_prefix(
    catalog: Catalog,
    text: str,
    project: str | None = None,
    *,
    gone: bool = True,
    profile: Profile = UNIXFS_V1_2025,
) -> Iterator[Found]:
    """All entries whose path begins with this text; see `find_path`."""
    return _in_range(catalog, path_range.prefix(text), project, gone, profile)


def find_glob(
    catalog: Catalog,
    text: str,
    project: str | None = None,
    *,
    gone: bool = True,
    profile: Profile = UNIXFS_V1_2025,
) -> Iterator[Found]:
    """All entries whose path matches a pattern (see `catalog.path_range`).

    Only paths that begin as the pattern does before its first wildcard are read.
    """
    return _in_range(catalog, path_range.glob(text), project, gone, profile)


def find_cid(
    catalog: Catalog, text: str, project: str | None = None, *, profile: Profile = UNIXFS_V1_2025
) -> Iterator[Found]:
    """Everything that this CID names: a file, a shard, a data set's root, or all that a CAR or piece holds.

    A data set of one CAR may have that CAR's payload CID as its root: it names what the CAR holds.

    Raises:
        ValueError: it isn't a CID.
    """
    binary = cid.from_text(text)
    mine = project is not None
    named = {"cid": binary, "project": project}
    with catalog.read() as connection:
        cars = connection.scalars(located.cars_named(mine), named).all()
        if not cars:
            yield from _roots(connection, binary, project)
        for key in cars:
            yield from _found(located.of_shards(connection, located.in_container(), {"key": key}), profile)
        yield from _found(located.of_shards(connection, located.built(mine), named), profile)
        split = connection.scalars(located.split_files(mine), named).all()
        yield from _found(located.of_files(connection, split), profile)


def _in_range(
    catalog: Catalog, wanted: PathRange, project: str | None, gone: bool, profile: Profile
) -> Iterator[Found]:
    for name in projects.names(catalog) if project is None else [project]:
        values: dict[str, Any] = {"project": name, "low": wanted.low, "high": wanted.high, "scan": 0, "id": 0}
        values["size"] = located.PAGE
        page = located.files_in_range(wanted.high is not None, gone)
        with catalog.read() as connection:
            while True:
                rows = connection.execute(page, values).all()
                kept = [row.id for row in rows if wanted.matches(bytes(row.path))]
                yield from _found(located.of_files(connection, kept), profile)
                if len(rows) < values["size"]:
                    break
                last = rows[-1]
                values |= {"low": bytes(last.path), "scan": last.first_scan, "id": last.id}
                values["size"] = min(4 * values["size"], located.LARGEST_PAGE)


def _roots(connection: Connection, binary: bytes, project: str | None) -> Iterator[Found]:
    """Data sets whose root, or the piece with it, has this CID."""
    root = dataset_root.c
    named = sa.or_(root.root_cid == binary, root.piece_cid_v1 == binary, root.piece_cid_v2 == binary)
    later = dataset_root.alias()
    newer = sa.exists().where(later.c.project == root.project, later.c.id > root.id)
    query = sa.select(dataset_root, newer.label("replaced")).where(named).order_by(root.id)
    if project is not None:
        query = query.where(root.project == project)
    for row in connection.execute(query).all():
        own = _text(row.root_cid)
        yield Found(
            project=row.project,
            path="",
            kind=KIND_NAMES[Kind.DIRECTORY],
            size=row.data_bytes,
            version=row.scan,
            current=not row.replaced,
            shard=None,
            start=None,
            length=None,
            cid=own,
            file_cid=own,
            container=None,
            car_offset=HEADER_SIZE,
            car_length=row.car_size - HEADER_SIZE,
            payload_cid=own,
            piece_cid=_text(row.piece_cid_v1),
            piece_cid_v2=_text(row.piece_cid_v2),
            file_name=row.file_name,
        )


def _found(pages: Iterable[Sequence[Row[Any]]], profile: Profile) -> Iterator[Found]:
    for rows in pages:
        yield from _found_of(rows, located.spans(rows, profile))


def _found_of(rows: Sequence[Row[Any]], lengths: list[int]) -> Iterator[Found]:
    for row, span in zip(rows, lengths, strict=True):
        whole = row.number in (None, WHOLE)
        own = _text(row.cid)
        yield Found(
            project=row.project,
            path=paths.escape(bytes(row.path)),
            kind=KIND_NAMES[row.kind],
            size=row.size,
            version=row.first_scan,
            current=row.gone_scan is None,
            shard=None if whole else row.number,
            start=row.start,
            length=row.length,
            cid=own,
            file_cid=own if whole else _text(row.file_cid),
            container=row.container,
            car_offset=row.car_offset,
            car_length=None if own is None else span,
            payload_cid=_text(row.payload_cid),
            piece_cid=_text(row.piece_cid_v1),
            piece_cid_v2=_text(row.piece_cid_v2),
            file_name=row.file_name,
            car_storage=row.car_storage,
            dead=row.dead_reason,
            sha256=None if row.sha256 is None else bytes(row.sha256).hex(),
        )


def _text(binary: bytes | memoryview | None) -> str | None:
    return None if binary is None else cid.to_text(bytes(binary))
