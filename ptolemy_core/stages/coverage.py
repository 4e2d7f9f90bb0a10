"""What must hold of a plan: every byte that the scan saw stands in exactly one container."""

import sqlalchemy as sa

from ptolemy_core import paths
from ptolemy_core.catalog.schema import container, file, shard
from ptolemy_core.catalog.store import Catalog

_SHOWN = 20


def uncovered(catalog: Catalog, name: str) -> list[str]:
    """Entries of a project's last scan whose bytes aren't covered exactly once by its containers.

    Returns:
        a sentence for each of the first of them; empty if the plan covers all.
    """
    totals = (
        sa.select(
            file.c.path,
            file.c.size,
            sa.func.count(shard.c.file_id).label("shards"),
            sa.func.coalesce(sa.func.sum(shard.c.length), 0).label("covered"),
            sa.func.max(shard.c.start + shard.c.length).label("reaches"),
            sa.func.count(sa.distinct(shard.c.start)).label("starts"),
        )
        .outerjoin(shard, shard.c.file_id == file.c.id)
        .where(file.c.project == name, file.c.gone_scan.is_(None), file.c.kind >= 0)
        .group_by(file.c.id, file.c.path, file.c.size)
        .subquery()
    )
    # shards that start at different places, reach the end and add up to the size overlap nowhere: each
    # starts where the one before ends, or else their sum would be another
    wrong = sa.select(totals).where(
        sa.or_(
            totals.c.shards == 0,
            totals.c.covered != totals.c.size,
            totals.c.reaches != totals.c.size,
            totals.c.starts != totals.c.shards,
        )
    )
    with catalog.read() as connection:
        problems = [
            f"{paths.display(bytes(row.path))}: {row.covered} of {row.size} bytes in {row.shards} shards"
            for row in connection.execute(wrong.limit(_SHOWN))
        ]
        unequal = connection.execute(
            sa.select(container.c.number, container.c["items"], container.c.data_bytes)
            .outerjoin(shard, shard.c.container_id == container.c.id)
            .where(container.c.project == name)
            .group_by(container.c.id, container.c.number, container.c["items"])
            .having(sa.func.count(shard.c.container_id) != container.c["items"])
            .limit(_SHOWN)
        )
        problems += [f"container {row[0]} holds another number of shards than {row[1]}" for row in unequal]
    return problems
