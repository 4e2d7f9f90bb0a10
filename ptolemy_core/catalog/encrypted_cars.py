"""Receipts of encrypted CARs, which are written before a CAR gets its name.

A salt must never meet other bytes than those that it was used for, once these may have left the machine. So a CAR's
receipt is there before the CAR has its name, and whatever builds the CAR again is compared with the receipt. Where
that can't be done, the files become new versions, with new salts (`new_versions`).
"""

import sqlalchemy as sa

from ptolemy_core.catalog import cars
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.new_versions import renew_in
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.scans import set_planned
from ptolemy_core.catalog.schema import built_shard, car, container, replaced_shard, shard
from ptolemy_core.catalog.store import Catalog


@survives_outage
def known_cids(catalog: Catalog, container_id: int) -> dict[int, bytes]:
    """The CIDs that items of a container must have, by position: those of its CAR, if it has a receipt.

    Else those that shards had in dead CARs, in whose place they are planned.
    """
    own = sa.select(built_shard.c.position, built_shard.c.cid).where(
        built_shard.c.container_id == container_id
    )
    same = sa.and_(
        replaced_shard.c.file_id == shard.c.file_id,
        replaced_shard.c.start == shard.c.start,
        replaced_shard.c.length == shard.c.length,
    )
    replaced = (
        sa.select(shard.c.position, replaced_shard.c.cid)
        .join(replaced_shard, same)
        .where(shard.c.container_id == container_id)
    )
    with catalog.read() as connection:
        found = connection.execute(own).all() or connection.execute(replaced).all()
    return {row.position: bytes(row.cid) for row in found}


def unnamed(catalog: Catalog, project: str) -> list[CarRow]:
    """The CARs of a project that have a receipt and perhaps no name yet."""
    return list(cars.select(catalog, (container.c.project == project) & ~car.c.named))


@survives_outage
def set_named(catalog: Catalog, container_id: int) -> None:
    """Record that a CAR has its name."""
    with catalog.write() as connection:
        connection.execute(car.update().where(car.c.container_id == container_id).values(named=True))


def abandon(catalog: Catalog, container_id: int) -> None:
    """Take back a CAR that has a receipt but perhaps never got its name; all that it holds becomes new versions."""
    with catalog.write() as connection:
        if not connection.scalar(sa.select(~car.c.named).where(car.c.container_id == container_id)):
            return
        held = sa.select(shard.c.file_id).where(shard.c.container_id == container_id).distinct()
        files = list(connection.scalars(held))
        for table in (built_shard, car):
            connection.execute(table.delete().where(table.c.container_id == container_id))
        project = sa.select(container.c.project).where(container.c.id == container_id)
        set_planned(connection, str(connection.scalar(project)), None)
        connection.execute(container.delete().where(container.c.id == container_id))
        renew_in(connection, files, other_content=False)
