"""The shards of a built CAR, with the file versions that they are of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import sqlalchemy as sa

from ptolemy_core.catalog.columns import Columns, pages
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, deletion, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.tree import Kind

_DELETED = sa.exists().where(deletion.c.file_id == file.c.id, deletion.c.deleted_at.is_not(None))
_LIVE = sa.and_(file.c.gone_scan.is_(None), ~_DELETED)


@survives_outage
def outdated(catalog: Catalog, project: str) -> int:
    """How many file versions in a project's CARs were changed or deleted since, as a scan or a deletion knows."""
    in_car = sa.exists().where(
        shard.c.file_id == file.c.id, built_shard.c.container_id == shard.c.container_id
    )
    query = sa.select(sa.func.count()).select_from(file).where(file.c.project == project, ~_LIVE, in_car)
    with catalog.read() as connection:
        return int(connection.execute(query).scalar_one())


@dataclass(frozen=True, slots=True)
class BuiltShard:
    """A shard of a built CAR, and the file version that it is of.

    Attributes:
        position: in the container.
        file_id, path, kind, size, mtime: of the file's version; mtime in nanoseconds, as the catalog has it.
        number: of the shard; None for a whole file, a link or an empty folder.
        start, length: its range of the file.
        cid, car_offset: of its root block.
        live: whether the last scan still saw this version, and it wasn't deleted since.
        read_ctime: the file's time of change when the build read it; None where that isn't known.
    """

    position: int
    file_id: int
    path: bytes
    kind: Kind
    size: int
    mtime: int
    number: int | None
    start: int
    length: int
    cid: bytes
    car_offset: int
    live: bool
    read_ctime: int | None


@dataclass(frozen=True, slots=True)
class BuiltShards(Sequence[BuiltShard]):
    """The shards of a built container in its order, as columns: a row is made when it is asked for.

    Attributes:
        columns: of `BuiltShard`, in its order and as the catalog has them.
    """

    columns: Columns

    def __len__(self) -> int:
        return len(self.columns[0])

    @overload
    def __getitem__(self, at: int) -> BuiltShard: ...

    @overload
    def __getitem__(self, at: slice) -> "BuiltShards": ...

    def __getitem__(self, at: int | slice) -> "BuiltShard | BuiltShards":
        if isinstance(at, slice):
            return BuiltShards([column[at] for column in self.columns])
        position, file_id, path, kind, size, mtime, number, start, length, cid, offset, live, read = (
            column[at] for column in self.columns
        )
        return BuiltShard(
            position=position,
            file_id=file_id,
            path=path,
            kind=Kind(kind),
            size=size,
            mtime=mtime,
            number=None if number == WHOLE else number,
            start=start,
            length=length,
            cid=cid,
            car_offset=offset,
            live=bool(live),
            read_ctime=read,
        )

    @property
    def paths(self) -> Sequence[bytes]:
        """Paths of the files."""
        return self.columns[2]

    @property
    def kinds(self) -> Sequence[int]:
        """Their kinds: numbers of `Kind`."""
        return self.columns[3]

    @property
    def numbers(self) -> Sequence[int]:
        """Numbers of the shards; `WHOLE` for a whole file, a link or an empty folder."""
        return self.columns[6]

    @property
    def lengths(self) -> Sequence[int]:
        """Bytes of the shards."""
        return self.columns[8]

    @property
    def cids(self) -> Sequence[bytes]:
        """Of their root blocks."""
        return self.columns[9]

    @property
    def offsets(self) -> Sequence[int]:
        """Of their root blocks' sections in the CAR."""
        return self.columns[10]


NONE = BuiltShards([[] for _ in BuiltShard.__dataclass_fields__])
"""No shards."""


@survives_outage
def built(catalog: Catalog, container_id: int) -> BuiltShards:
    """All shards of a built container, in its order."""
    found: Columns = [[] for _ in BuiltShard.__dataclass_fields__]
    with catalog.read() as connection:
        for page in pages(connection, _BUILT, key=container_id):
            for column, more in zip(found, page, strict=True):
                column += more  # type: ignore[operator]  # lists
    return BuiltShards(found)


_BUILT = (
    sa.select(
        shard.c.position,
        file.c.id,
        file.c.path,
        file.c.kind,
        file.c.size,
        file.c.mtime,
        shard.c.number,
        shard.c.start,
        shard.c.length,
        built_shard.c.cid,
        built_shard.c.car_offset,
        _LIVE.label("live"),
        built_shard.c.read_ctime,
    )
    .join(shard, shard.c.file_id == file.c.id)
    .join(built_shard, SAME_SHARD)
    .where(shard.c.container_id == sa.bindparam("key"))
    .order_by(shard.c.position)
)
