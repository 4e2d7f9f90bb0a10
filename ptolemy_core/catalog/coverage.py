"""What must hold of a plan: every byte that the scan saw, and no build skipped, is in exactly one container."""

import itertools

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import skipped
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import container, file, replaced_shard, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.tree import paths

_SHOWN = 20


@survives_outage
def uncovered(catalog: Catalog, name: str) -> list[str]:
    """Entries of a project's last scan whose bytes aren't covered exactly once by its containers.

    Files that a build dropped, with a record, are not counted.

    Returns:
        a sentence for each of the first of them; empty if the plan covers all.
    """
    live = (file.c.project == name, file.c.gone_scan.is_(None), file.c.kind >= 0, ~skipped.withdrawn())
    whole = (
        sa.select(file.c.path, file.c.size, sa.func.count(shard.c.file_id), sa.func.max(shard.c.length))
        .outerjoin(shard, shard.c.file_id == file.c.id)
        .where(*live)
        .group_by(file.c.id, file.c.path, file.c.size)
        .having(
            sa.or_(
                sa.func.count(shard.c.file_id) == 0,
                sa.and_(
                    sa.func.min(shard.c.number) == WHOLE,
                    sa.or_(
                        sa.func.count(shard.c.file_id) != 1,
                        sa.func.max(shard.c.length) != file.c.size,
                        sa.func.max(shard.c.start) != 0,
                    ),
                ),
            )
        )
        .limit(_SHOWN)
    )
    replaced = sa.exists().where(replaced_shard.c.container_id == container.c.id)
    unequal = (
        sa.select(container.c.number, container.c["items"])
        .outerjoin(shard, shard.c.container_id == container.c.id)
        .where(container.c.project == name, ~replaced)
        .group_by(container.c.id, container.c.number, container.c["items"])
        .having(sa.func.count(shard.c.container_id) != container.c["items"])
        .limit(_SHOWN)
    )
    with catalog.read() as connection:
        problems = [
            f"{paths.display(bytes(path))}: {length or 0} of {size} bytes in {count} shards"
            for path, size, count, length in connection.execute(whole)
        ]
        problems += _broken_splits(connection, name)
        problems += [
            f"container {number} doesn't hold the {count} shards that it was planned with"
            for number, count in connection.execute(unequal)
        ]
    return problems


def _broken_splits(connection: Connection, name: str) -> list[str]:
    """Split files whose shards don't follow one another from the first byte to the last."""
    rows = connection.execution_options(yield_per=10_000).execute(
        sa.select(file.c.id, file.c.path, file.c.size, shard.c.number, shard.c.start, shard.c.length)
        .join(shard, shard.c.file_id == file.c.id)
        .where(file.c.project == name, file.c.gone_scan.is_(None), shard.c.number != WHOLE)
        .where(~skipped.withdrawn())
        .order_by(file.c.id, shard.c.number)
    )
    problems = []
    for _, group in itertools.groupby(rows, key=lambda row: row.id):
        at = 0
        whole = True
        for number, row in enumerate(group):
            whole = whole and row.number == number and row.start == at and row.length > 0
            at = row.start + row.length
        if not whole or at != row.size:
            problems.append(
                f"{paths.display(bytes(row.path))}: its shards don't cover its {row.size} bytes once"
            )
    return problems[:_SHOWN]
