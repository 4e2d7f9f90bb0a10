"""Receipts of encrypted CARs, which are written before a CAR gets its name; and new versions of encrypted files.

A salt must never meet other bytes than those that it was used for, once these may have left the machine. So a CAR's
receipt is there before the CAR has its name, and whatever builds the CAR again is compared with the receipt. Where
that can't be done, the files become new versions, with new salts.
"""

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import bulk
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.scans import set_planned
from ptolemy_core.catalog.schema import built_shard, car, container, file, replaced_shard, scan, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.encryption import random_headers
from ptolemy_core.tree import Kind

_MANY = 500
_COPIED = ("project", "path", "kind", "size", "mtime", "target", "reason")


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


@survives_outage
def set_named(catalog: Catalog, container_id: int) -> None:
    """Record that a CAR has its name."""
    with catalog.write() as connection:
        connection.execute(car.update().where(car.c.container_id == container_id).values(named=True))


def renew(catalog: Catalog, file_ids: Sequence[int]) -> int:
    """Make new versions, with new salts, of files that aren't what was encrypted with their old ones.

    They look the same to a scan, so none would find them. What is planned of the old versions and not built is
    planned again; CARs that hold them stay.

    Returns:
        how many: a version that is gone isn't renewed.
    """
    with catalog.write() as connection:
        return _renew(connection, file_ids)


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
        _renew(connection, files)


def _renew(connection: Connection, file_ids: Iterable[int]) -> int:
    ids = sorted(set(file_ids))
    done = 0
    for low in range(0, len(ids), _MANY):
        chosen = file.c.id.in_(ids[low : low + _MANY])
        rows = connection.execute(sa.select(file).where(chosen, file.c.gone_scan.is_(None))).mappings().all()
        if not rows:
            continue
        newest = sa.select(sa.func.max(scan.c.id)).where(scan.c.project == rows[0]["project"])
        number = connection.execute(newest.where(scan.c.refused.is_(None))).scalar_one()
        connection.execute(file.update().where(chosen, file.c.gone_scan.is_(None)).values(gone_scan=number))
        set_planned(connection, rows[0]["project"], None)
        headers = random_headers(len(rows))
        new = [
            (*(row[name] for name in _COPIED), header if row["kind"] == Kind.FILE else None, number)
            for row, header in zip(rows, headers, strict=True)
        ]
        bulk.insert(connection, file, (*_COPIED, "header", "first_scan"), new)
        done += len(rows)
    return done
