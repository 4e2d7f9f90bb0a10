"""What servers of pieces ask: which CARs have a CID, and where the files and shards of a CID are in them.

The same content may be in several CARs, of several projects: all of them are given, and the server takes one that it
can open.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, car, container, dataset_root, file, project, shard
from ptolemy_core.catalog.stitched import root_of_split
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.tree import Kind

_MANY = 500
_PAGE = 10_000
_LEAF = 1 << 20


@dataclass(frozen=True, slots=True)
class HeldCar:
    """A built CAR as a server sees it.

    Attributes:
        project, public: whose it is, and whether anyone may have it.
        container_id: of the container; None for the CAR of a data set's root.
        target_dir, staging_dir: where its source and its file are.
        file_name, payload_cid, piece_cid_v1, piece_cid_v2, car_size: of its receipt; CIDs binary, size in bytes.
        blocks: about how many a response with all that is below its root has.
    """

    project: str
    public: bool
    container_id: int | None
    target_dir: str
    staging_dir: str
    file_name: str
    payload_cid: bytes
    piece_cid_v1: bytes
    piece_cid_v2: bytes
    car_size: int
    blocks: int


@dataclass(frozen=True, slots=True)
class HeldItem:
    """A file, shard, link or empty folder in a CAR: its kind, bytes of content, and where its first block is."""

    car: HeldCar
    cid: bytes
    kind: Kind
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class HeldSplit:
    """A split file with all its shards, in order; `root` has the nodes above them."""

    size: int
    root: FileNode
    shards: tuple[HeldItem, ...]


_OWN = (project.c.name, project.c.public_pieces, container.c.id, project.c.target_dir, project.c.staging_dir)
_NAMES = ("file_name", "payload_cid", "piece_cid_v1", "piece_cid_v2", "car_size")
_CAR = (*_OWN, *(car.c[name] for name in _NAMES), 2 * container.c["items"] + container.c.data_bytes / _LEAF)


def pieces(catalog: Catalog, cid: bytes, *, public: bool) -> list[HeldCar]:
    """The CARs with this piece CID, of either version; `public`: only those that anyone may have."""
    wanted = sa.or_(car.c.piece_cid_v1 == cid, car.c.piece_cid_v2 == cid)
    root = sa.or_(dataset_root.c.piece_cid_v1 == cid, dataset_root.c.piece_cid_v2 == cid)
    return [*_containers(catalog, wanted, public), *_roots(catalog, root, public)]


def payloads(catalog: Catalog, cid: bytes, *, public: bool) -> list[HeldCar]:
    """The CARs of containers whose root is this CID."""
    return _containers(catalog, car.c.payload_cid == cid, public)


def dataset_roots(catalog: Catalog, cid: bytes, *, public: bool) -> list[HeldCar]:
    """The CARs of data sets whose root is this CID."""
    return _roots(catalog, dataset_root.c.root_cid == cid, public)


def items(
    catalog: Catalog, cids: Sequence[bytes], *, public: bool, of: str | None = None
) -> dict[bytes, list[HeldItem]]:
    """Where files, shards, links and empty folders of these CIDs are; `of`: in this project only."""
    found: dict[bytes, list[HeldItem]] = {}
    query = (
        sa.select(*_CAR, built_shard.c.cid, file.c.kind, shard.c.length, built_shard.c.car_offset)
        .select_from(built_shard)
        .join(shard, SAME_SHARD)
        .join(file, file.c.id == shard.c.file_id)
        .join(container, container.c.id == built_shard.c.container_id)
        .join(project, project.c.name == container.c.project)
        .join(car, car.c.container_id == container.c.id)
    )
    if public:
        query = query.where(project.c.public_pieces)
    if of is not None:
        query = query.where(project.c.name == of)
    chosen = list(dict.fromkeys(cids))
    with catalog.read() as connection:
        for low in range(0, len(chosen), _MANY):
            part = query.where(built_shard.c.cid.in_(chosen[low : low + _MANY]))
            for row in connection.execute(part):
                *own, cid, kind, size, offset = row
                item = HeldItem(_held(own), bytes(cid), Kind(kind), size, offset)
                found.setdefault(item.cid, []).append(item)
    return found


def split_file(
    catalog: Catalog, cid: bytes, profile: Profile, *, public: bool, of: str | None = None
) -> HeldSplit | None:
    """A split file whose CID as a whole is this one; None if there is none, or not all of its shards are built."""
    query = sa.select(file.c.id, file.c.size).join(project, project.c.name == file.c.project)
    query = query.where(file.c.cid == cid).order_by(file.c.id)
    if public:
        query = query.where(project.c.public_pieces)
    if of is not None:
        query = query.where(file.c.project == of)
    with catalog.read() as connection:
        row = connection.execute(query.limit(1)).first()
        if row is None:
            return None
        parts = connection.execute(_SHARDS, {"id": row.id}).all()
    shards = tuple(
        HeldItem(_held(own), bytes(part), Kind.FILE, size, offset) for *own, part, size, offset in parts
    )
    if sum(one.size for one in shards) != row.size:
        return None
    return HeldSplit(row.size, root_of_split(catalog, row.id, row.size, profile), shards)


_SHARDS = (
    sa.select(*_CAR, built_shard.c.cid, shard.c.length, built_shard.c.car_offset)
    .select_from(shard)
    .join(built_shard, SAME_SHARD)
    .join(container, container.c.id == shard.c.container_id)
    .join(project, project.c.name == container.c.project)
    .join(car, car.c.container_id == container.c.id)
    .where(shard.c.file_id == sa.bindparam("id"))
    .order_by(shard.c.number)
)


@dataclass(frozen=True, slots=True)
class Extents:
    """Columns of some items of a CAR in the order of their blocks: where each begins, its kind, bytes of content."""

    offsets: NDArray[np.int64]
    kinds: NDArray[np.int8]
    sizes: NDArray[np.int64]


def extents(catalog: Catalog, container_id: int) -> Iterator[Extents]:
    """All items of a built container in the order of their blocks, 10,000 at a time."""
    query = (
        sa.select(built_shard.c.car_offset, file.c.kind, shard.c.length)
        .select_from(built_shard)
        .join(shard, SAME_SHARD)
        .join(file, file.c.id == shard.c.file_id)
        .where(built_shard.c.container_id == container_id)
        .order_by(built_shard.c.car_offset)
    )
    with catalog.read() as connection:
        for rows in connection.execution_options(yield_per=_PAGE).execute(query).partitions():
            table = np.array([tuple(row) for row in rows], dtype=np.int64)
            yield Extents(table[:, 0].copy(), table[:, 1].astype(np.int8), table[:, 2].copy())


def _containers(catalog: Catalog, wanted: sa.ColumnElement[bool], public: bool) -> list[HeldCar]:
    query = (
        sa.select(*_CAR)
        .select_from(car)
        .join(container, container.c.id == car.c.container_id)
        .join(project, project.c.name == container.c.project)
        .where(wanted)
        .order_by(car.c.container_id)
    )
    if public:
        query = query.where(project.c.public_pieces)
    with catalog.read() as connection:
        return [_held(row) for row in connection.execute(query)]


def _roots(catalog: Catalog, wanted: sa.ColumnElement[bool], public: bool) -> list[HeldCar]:
    root = dataset_root.c
    query = (
        sa.select(
            project.c.name,
            project.c.public_pieces,
            sa.null(),
            project.c.target_dir,
            project.c.staging_dir,
            root.file_name,
            root.root_cid,
            root.piece_cid_v1,
            root.piece_cid_v2,
            root.car_size,
            root.blocks + root.entries + root.data_bytes / _LEAF,
        )
        .select_from(dataset_root)
        .join(project, project.c.name == root.project)
        .where(wanted)
        .order_by(root.id)
    )
    if public:
        query = query.where(project.c.public_pieces)
    with catalog.read() as connection:
        return [_held(row) for row in connection.execute(query)]


def _held(row: Sequence[Any]) -> HeldCar:
    values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    values[1], values[-1] = bool(values[1]), int(values[-1])
    return HeldCar(*values)
