"""The shards of a built CAR, with the file versions that they are of."""

from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, deletion, file, shard
from ptolemy_core.catalog.store import Catalog

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


@survives_outage
def built(catalog: Catalog, container_id: int) -> list[sa.Row[Any]]:
    """All shards of a built container, in its order.

    `live` says whether the last scan still saw this version, and it wasn't deleted since; `read_ctime` is the file's
    time of change when the build read it, None where that isn't known.
    """
    query = (
        sa.select(
            shard.c.position,
            file.c.id.label("file_id"),
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
        .where(shard.c.container_id == container_id)
        .order_by(shard.c.position)
    )
    with catalog.read() as connection:
        return list(connection.execute(query).all())
