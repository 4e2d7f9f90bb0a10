"""Look-up: which CAR and piece holds a path, and what a CID names.

Every look-up reads index ranges, page by page: what it costs depends on what it finds, not on the catalog's size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from ptolemy_core import cid, paths
from ptolemy_core.catalog import pattern, projects
from ptolemy_core.catalog.pattern import PathRange
from ptolemy_core.catalog.schema import built_shard, car, container, dataset_root, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import HEADER_SIZE, WHOLE, Kind, item_extents
from ptolemy_core.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.walk import LEFT_OUT

_PAGE, _LARGEST_PAGE = 64, 4096
KIND_NAMES = {Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.SYMLINK: "symlink", LEFT_OUT: "left out"}


@dataclass(frozen=True, slots=True)
class Found:
    """A shard, link or empty folder that a look-up met, and where it is. Sizes and offsets are bytes.

    Attributes:
        project, path, kind, size: of the file; path with `/` between names, for people. The root of a whole
            data set has an empty path, kind "directory" and no container.
        version: the scan that found this version of the file.
        current: False for a version that a later scan found changed or gone.
        shard, start, length: number within a split file (None: whole), and byte range of the file.
        cid, file_cid: of the shard, and of the whole file; None while they aren't built.
        container, file_name, payload_cid, piece_cid, piece_cid_v2: the CAR that holds it; None while unbuilt.
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
    return _in_range(catalog, pattern.entry_or_below(text), project, gone, profile)


def find_prefix(
    catalog: Catalog,
    text: str,
    project: str | None = None,
    *,
    gone: bool = True,
    profile: Profile = UNIXFS_V1_2025,
) -> Iterator[Found]:
    """All entries whose path begins with this text; see `find_path`."""
    return _in_range(catalog, pattern.prefix(text), project, gone, profile)


def find_glob(
    catalog: Catalog,
    text: str,
    project: str | None = None,
    *,
    gone: bool = True,
    profile: Profile = UNIXFS_V1_2025,
) -> Iterator[Found]:
    """All entries whose path matches a pattern (see `catalog.pattern`).

    Only paths that begin as the pattern does before its first wildcard are read.
    """
    return _in_range(catalog, pattern.glob(text), project, gone, profile)


def find_cid(
    catalog: Catalog, text: str, project: str | None = None, *, profile: Profile = UNIXFS_V1_2025
) -> Iterator[Found]:
    """Everything that this CID names: a file, a shard, a data set's root, or all that a CAR or piece holds.

    Raises:
        ValueError: it isn't a CID.
    """
    binary = cid.from_text(text)
    with catalog.read() as connection:
        yield from _roots(connection, binary, project)
        for key in connection.scalars(_cars(binary, project)).all():
            yield from _of_shards(connection, lambda size, last, key=key: _held(key, size, last), profile)
        yield from _of_shards(
            connection, lambda size, last: _shards_of_cid(binary, project, size, last), profile
        )
        split = sa.select(*_FILE).where(file.c.cid == binary).order_by(file.c.id)
        if project is not None:
            split = split.where(file.c.project == project)
        yield from _located(_rows_of_files(connection, split), profile)


_FILE = (
    file.c.id,
    file.c.project,
    file.c.path,
    file.c.kind,
    file.c.size,
    file.c.first_scan,
    file.c.gone_scan,
    file.c.cid,
)
_CAR = (
    container.c.number.label("container"),
    car.c.payload_cid,
    car.c.piece_cid_v1,
    car.c.piece_cid_v2,
    car.c.file_name,
)
_BUILT = sa.and_(
    built_shard.c.container_id == shard.c.container_id, built_shard.c.position == shard.c.position
)


def _in_range(
    catalog: Catalog, wanted: PathRange, project: str | None, gone: bool, profile: Profile
) -> Iterator[Found]:
    for name in projects.names(catalog) if project is None else [project]:
        with catalog.read() as connection:
            last: Row[Any] | None = None
            size = _PAGE
            while True:
                rows = connection.execute(files_in_range(name, wanted, gone, size, last)).all()
                kept = [row.id for row in rows if wanted.matches(bytes(row.path))]
                if kept:
                    query = sa.select(*_FILE).where(file.c.id.in_(kept))
                    query = query.order_by(file.c.path, file.c.first_scan, file.c.id)
                    yield from _located(_rows_of_files(connection, query), profile)
                if len(rows) < size:
                    break
                last, size = rows[-1], min(4 * size, _LARGEST_PAGE)


def files_in_range(
    project: str, wanted: PathRange, gone: bool, size: int, last: Row[Any] | None = None
) -> sa.Select[Any]:
    """One page of a project's files in a range of paths, behind the row `last`: a range of one index."""
    query = (
        sa.select(file.c.id, file.c.path, file.c.first_scan)
        .where(file.c.project == project, file.c.path >= (wanted.low if last is None else last.path))
        .order_by(file.c.path, file.c.first_scan, file.c.id)
        .limit(size)
    )
    if wanted.high is not None:
        query = query.where(file.c.path < wanted.high)
    if not gone:
        query = query.where(file.c.gone_scan.is_(None))
    if last is not None:
        behind = sa.tuple_(last.path, last.first_scan, last.id)
        query = query.where(sa.tuple_(file.c.path, file.c.first_scan, file.c.id) > behind)
    return query


def _rows_of_files(connection: Connection, files: sa.Select[Any]) -> Sequence[Row[Any]]:
    """What is known of these files' shards; a file without one has one row too."""
    chosen = files.subquery()
    order = [chosen.c[column.name] for column in (file.c.path, file.c.first_scan, file.c.id)]
    query = (
        sa.select(
            chosen.c.project,
            chosen.c.path,
            chosen.c.kind,
            chosen.c.size,
            chosen.c.first_scan,
            chosen.c.gone_scan,
            chosen.c.cid.label("file_cid"),
            shard.c.number,
            shard.c.start,
            shard.c.length,
            built_shard.c.cid,
            built_shard.c.car_offset,
            *_CAR,
        )
        .select_from(chosen)
        .outerjoin(shard, shard.c.file_id == chosen.c.id)
        .outerjoin(container, container.c.id == shard.c.container_id)
        .outerjoin(car, car.c.container_id == container.c.id)
        .outerjoin(built_shard, _BUILT)
        .order_by(*order, shard.c.number)
    )
    return connection.execute(query).all()


def _of_shards(connection: Connection, page: Any, profile: Profile) -> Iterator[Found]:
    """What stands at the (container, position) pairs of `page(size, last pair)`, page after page."""
    last: tuple[int, int] | None = None
    size = _PAGE
    while True:
        chosen = page(size, last).subquery()
        query = (
            sa.select(
                chosen.c.container_id,
                chosen.c.position,
                file.c.project,
                file.c.path,
                file.c.kind,
                file.c.size,
                file.c.first_scan,
                file.c.gone_scan,
                file.c.cid.label("file_cid"),
                shard.c.number,
                shard.c.start,
                shard.c.length,
                built_shard.c.cid,
                built_shard.c.car_offset,
                *_CAR,
            )
            .select_from(chosen)
            .join(
                shard,
                sa.and_(shard.c.container_id == chosen.c.container_id, shard.c.position == chosen.c.position),
            )
            .join(file, file.c.id == shard.c.file_id)
            .join(container, container.c.id == shard.c.container_id)
            .join(car, car.c.container_id == container.c.id)
            .join(built_shard, _BUILT)
            .order_by(chosen.c.container_id, chosen.c.position)
        )
        rows = connection.execute(query).all()
        yield from _located(rows, profile)
        if len(rows) < size:
            return
        last, size = (rows[-1].container_id, rows[-1].position), min(4 * size, _LARGEST_PAGE)


def _held(container_id: int, size: int, last: tuple[int, int] | None) -> sa.Select[Any]:
    """A page of what a container holds."""
    query = (
        sa.select(shard.c.container_id, shard.c.position)
        .where(shard.c.container_id == container_id)
        .order_by(shard.c.position)
        .limit(size)
    )
    return query if last is None else query.where(shard.c.position > last[1])


def _shards_of_cid(
    binary: bytes, project: str | None, size: int, last: tuple[int, int] | None
) -> sa.Select[Any]:
    """A page of the built shards of one CID."""
    query = (
        sa.select(built_shard.c.container_id, built_shard.c.position)
        .where(built_shard.c.cid == binary)
        .order_by(built_shard.c.container_id, built_shard.c.position)
        .limit(size)
    )
    if project is not None:
        query = query.join(container, container.c.id == built_shard.c.container_id)
        query = query.where(container.c.project == project)
    if last is not None:
        pair = sa.tuple_(sa.literal(last[0]), sa.literal(last[1]))
        query = query.where(sa.tuple_(built_shard.c.container_id, built_shard.c.position) > pair)
    return query


def _cars(binary: bytes, project: str | None) -> sa.Select[Any]:
    """Containers whose CAR or piece has this CID."""
    named = sa.or_(car.c.payload_cid == binary, car.c.piece_cid_v1 == binary, car.c.piece_cid_v2 == binary)
    query = sa.select(car.c.container_id).where(named).order_by(car.c.container_id)
    if project is not None:
        query = query.join(container, container.c.id == car.c.container_id)
        query = query.where(container.c.project == project)
    return query


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


def _located(rows: Sequence[Row[Any]], profile: Profile) -> Iterator[Found]:
    kinds = np.array([row.kind for row in rows], dtype=np.int8)
    lengths = np.array([row.length or 0 for row in rows], dtype=np.int64)
    spans = item_extents(kinds, lengths, profile).span.tolist()
    for row, span in zip(rows, spans, strict=True):
        whole = row.number in (None, WHOLE)
        own = _text(row.cid)
        yield Found(
            project=row.project,
            path=paths.display(bytes(row.path)),
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
        )


def _text(binary: bytes | memoryview | None) -> str | None:
    return None if binary is None else cid.to_text(bytes(binary))
