"""The shards of a built CAR, with the file versions that they are of."""

from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, deletion, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.encryption import Form
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
        header: of an encrypted file's version; None: it isn't one.
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
    header: bytes | None = None

    def range_in_car(self, form: Form) -> tuple[int, int]:
        """Start and length of the shard in CARs."""
        if self.kind == Kind.FILE:
            return (
                form.file_range(self.size, self.start, self.length)
                if form.files
                else (self.start, self.length)
            )
        one = np.array([self.length], dtype=np.int64)
        return self.start, int(form.sizes(np.array([self.kind], dtype=np.int8), one)[0])


@survives_outage
def built(catalog: Catalog, container_id: int) -> list[BuiltShard]:
    """All shards of a built container, in its order."""
    query = (
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
            file.c.header,
        )
        .join(shard, shard.c.file_id == file.c.id)
        .join(built_shard, SAME_SHARD)
        .where(shard.c.container_id == container_id)
        .order_by(shard.c.position)
    )
    with catalog.read() as connection:
        return [
            BuiltShard(
                position=row.position,
                file_id=row.id,
                path=bytes(row.path),
                kind=Kind(row.kind),
                size=row.size,
                mtime=row.mtime,
                number=None if row.number == WHOLE else row.number,
                start=row.start,
                length=row.length,
                cid=bytes(row.cid),
                car_offset=row.car_offset,
                live=bool(row.live),
                read_ctime=row.read_ctime,
                header=None if row.header is None else bytes(row.header),
            )
            for row in connection.execute(query)
        ]
