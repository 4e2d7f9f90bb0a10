"""What servers of pieces ask: which CARs have a CID, and where the files and shards of a CID are in them.

The same content may be in several CARs, of several projects: all of them are given, and the server takes one that it
can open.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Row

from ptolemy_core.catalog import data_keys
from ptolemy_core.catalog.cars import GENERATED, STAGED
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.located import lengths_in_cars
from ptolemy_core.catalog.schema import built_shard, car, container, dataset_root, file, project, shard
from ptolemy_core.catalog.stitched import root_of_split
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.keys import WrappedKey
from ptolemy_core.staging.stored import StoredCar
from ptolemy_core.tree import Kind

_MANY = 500
_PAGE = 10_000
_LEAF = 1 << 20


@dataclass(frozen=True, slots=True)
class HeldCar:
    """A built CAR as a server sees it.

    Attributes:
        stored: where its bytes come from.
        public: whether anyone may have it.
        container_id: of the container; None for the CAR of a data set's root.
        blocks: about how many a response with all that is below its root has.
    """

    stored: StoredCar
    public: bool
    container_id: int | None
    blocks: int

    @property
    def size(self) -> int:
        """Bytes of the CAR."""
        return self.stored.car_size


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


_CAR = (
    project.c.name,
    project.c.public_pieces,
    project.c.target_dir,
    project.c.source_profile,
    project.c.staging_dir,
    project.c.encryption,
    container.c.id.label("container_id"),
    container.c.number,
    (2 * container.c["items"] + container.c.data_bytes / _LEAF).label("blocks"),
    car.c.file_name,
    car.c.payload_cid,
    car.c.piece_cid_v1,
    car.c.piece_cid_v2,
    car.c.car_size,
    car.c.piece_size,
    car.c.built_at,
    car.c.car_storage,
    car.c.dead_at,
    car.c.dead_reason,
)
_SHARD = (
    built_shard.c.cid,
    built_shard.c.car_offset,
    file.c.kind,
    file.c.size,
    shard.c.start,
    shard.c.length,
    project.c.encrypt_names,
)
"""Of a shard, with `project.c.encryption`, which `_CAR` has: what `lengths_in_cars` takes, and more."""


def pieces(catalog: Catalog, cid: bytes, *, public: bool) -> list[HeldCar]:
    """The CARs with this piece CID, of either version; `public`: only those that anyone may have."""
    wanted = sa.or_(car.c.piece_cid_v1 == cid, car.c.piece_cid_v2 == cid)
    root = sa.or_(dataset_root.c.piece_cid_v1 == cid, dataset_root.c.piece_cid_v2 == cid)
    found = [*_containers(catalog, wanted, public), *_roots(catalog, root, public)]
    return sorted(found, key=lambda one: (one.stored.dead is not None, one.stored.generated))


def payloads(catalog: Catalog, cid: bytes, *, public: bool) -> list[HeldCar]:
    """The CARs of containers whose root is this CID."""
    return _containers(catalog, car.c.payload_cid == cid, public)


def dataset_roots(catalog: Catalog, cid: bytes, *, public: bool) -> list[HeldCar]:
    """The CARs of data sets whose root is this CID."""
    return _roots(catalog, dataset_root.c.root_cid == cid, public)


def items(
    catalog: Catalog, cids: Sequence[bytes], profile: Profile, *, public: bool, of: str | None = None
) -> dict[bytes, list[HeldItem]]:
    """Where files, shards, links and empty folders of these CIDs are; `of`: in this project only."""
    found: dict[bytes, list[HeldItem]] = {}
    query = (
        sa.select(*_CAR, *_SHARD)
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
    for low in range(0, len(chosen), _MANY):
        with catalog.read() as connection:
            rows = connection.execute(query.where(built_shard.c.cid.in_(chosen[low : low + _MANY]))).all()
        for item in _items(catalog, rows, profile):
            found.setdefault(item.cid, []).append(item)
    return found


def _items(catalog: Catalog, rows: Sequence[Row[Any]], profile: Profile) -> Iterator[HeldItem]:
    for row, size in zip(rows, lengths_in_cars(rows, profile).tolist(), strict=True):
        yield HeldItem(_held(catalog, row), bytes(row.cid), Kind(row.kind), size, row.car_offset)


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
    if sum(part.length for part in parts) != row.size:
        return None
    shards = tuple(_items(catalog, parts, profile))
    root = root_of_split(catalog, row.id, row.size, profile)
    return HeldSplit(sum(one.size for one in shards), root, shards)


_SHARDS = (
    sa.select(*_CAR, *_SHARD)
    .select_from(shard)
    .join(file, file.c.id == shard.c.file_id)
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


def extents(catalog: Catalog, container_id: int, profile: Profile) -> Iterator[Extents]:
    """All items of a built container in the order of their blocks, 10,000 at a time."""
    query = (
        sa.select(*_SHARD, project.c.encryption)
        .select_from(built_shard)
        .join(shard, SAME_SHARD)
        .join(file, file.c.id == shard.c.file_id)
        .join(project, project.c.name == file.c.project)
        .where(built_shard.c.container_id == container_id)
        .order_by(built_shard.c.car_offset)
    )
    with catalog.read() as connection:
        for rows in connection.execution_options(yield_per=_PAGE).execute(query).partitions():
            yield Extents(
                np.array([row.car_offset for row in rows], dtype=np.int64),
                np.array([row.kind for row in rows], dtype=np.int8),
                lengths_in_cars(rows, profile),
            )


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
        rows = connection.execute(query).all()
    return [_held(catalog, row) for row in rows]


def _roots(catalog: Catalog, wanted: sa.ColumnElement[bool], public: bool) -> list[HeldCar]:
    root = dataset_root.c
    query = (
        sa.select(
            project.c.name,
            project.c.public_pieces,
            project.c.target_dir,
            project.c.source_profile,
            project.c.staging_dir,
            project.c.encryption,
            sa.null().label("container_id"),
            sa.null().label("number"),
            (root.blocks + root.entries + root.data_bytes / _LEAF).label("blocks"),
            root.file_name,
            root.root_cid.label("payload_cid"),
            root.piece_cid_v1,
            root.piece_cid_v2,
            root.car_size,
            root.piece_size,
            root.built_at,
            sa.literal(STAGED).label("car_storage"),
            sa.null().label("dead_at"),
            sa.null().label("dead_reason"),
        )
        .select_from(dataset_root)
        .join(project, project.c.name == root.project)
        .where(wanted)
        .order_by(root.id)
    )
    if public:
        query = query.where(project.c.public_pieces)
    with catalog.read() as connection:
        rows = connection.execute(query).all()
    return [_held(catalog, row) for row in rows]


def _held(catalog: Catalog, row: Row[Any]) -> HeldCar:
    generated = row.car_storage == GENERATED
    wrapped: tuple[WrappedKey, ...] = ()
    if generated and row.encryption != "None":
        wrapped = tuple(data_keys.data_keys(catalog, row.name))
    stored = StoredCar(
        project=row.name,
        number=row.number,
        file_name=row.file_name,
        payload_cid=bytes(row.payload_cid),
        piece_cid_v1=bytes(row.piece_cid_v1),
        piece_cid_v2=bytes(row.piece_cid_v2),
        car_size=row.car_size,
        piece_size=row.piece_size,
        built_at=row.built_at,
        generated=generated,
        staging_dir=row.staging_dir,
        source=os.fsencode(row.target_dir),
        profile=row.source_profile,
        dead=None if row.dead_at is None else row.dead_reason or "its source changed",
        wrapped=wrapped,
    )
    return HeldCar(stored, bool(row.public_pieces), row.container_id, int(row.blocks))
