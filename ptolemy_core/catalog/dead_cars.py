"""CARs that can't be read any more, since their source changed: they are dead, and what is left is planned again.

Those are generated CARs, and staged ones whose file is lost.

A dead CAR keeps its receipt. Its shards stay with it until a new plan holds them: then they are kept in
`replaced_shard`, so that a file is in one CAR, and what the dead piece held is still known.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import cars, deals, skipped
from ptolemy_core.catalog.cars import GENERATED, CarRow
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, car, container, file, replaced_shard, scan, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.tree import Kind

LOST = sa.and_(car.c.dead_at.is_not(None), car.c.delivered_at.is_(None))
"""A CAR that is dead, and no provider has it: its files need another one."""


@dataclass(frozen=True, slots=True)
class MissedFile:
    """A file of a CAR that isn't there any more as it was built.

    Attributes:
        container_id: of the CAR.
        path: NUL-joined.
        size, mtime: its stamp.
        other_content: it looks as it did and has other bytes.
    """

    container_id: int
    path: bytes
    size: int
    mtime: int
    other_content: bool


def may_change(catalog: Catalog, project: str) -> bool:
    """Whether a project has any CAR that a scan can find dead, or alive again."""
    query = sa.select(car.c.container_id).join(container, container.c.id == car.c.container_id)
    wanted = (container.c.project == project, (car.c.car_storage == GENERATED) | car.c.dead_at.is_not(None))
    with catalog.read() as connection:
        return connection.scalar(query.where(*wanted).limit(1)) is not None


def missed(catalog: Catalog, project: str, container_id: int | None = None) -> Iterator[MissedFile]:
    """The files of a project's generated CARs, or of this one CAR, that were changed, deleted or excluded since.

    CAR by CAR. Not of those that perhaps never got their names: a blitz takes them back, or finds them complete.
    """
    which = car.c.car_storage == GENERATED if container_id is None else car.c.container_id == container_id
    query = (
        sa.select(shard.c.container_id, file.c.path, file.c.size, file.c.mtime, file.c.other_content)
        .select_from(file)
        .join(shard, shard.c.file_id == file.c.id)
        .join(car, car.c.container_id == shard.c.container_id)
        .where(file.c.project == project, file.c.gone_scan.is_not(None), file.c.kind == Kind.FILE)
        .where(which, car.c.named)
        .order_by(shard.c.container_id, shard.c.position)
    )
    for row in catalog.fetch(query):
        yield MissedFile(row.container_id, bytes(row.path), row.size, row.mtime, bool(row.other_content))


@survives_outage
def mark(catalog: Catalog, project: str, reasons: dict[int, str]) -> None:
    """Record which CARs of a project are dead, and why, also in their deals; others live again.

    One whose shards are in new CARs stays dead.

    Args:
        catalog: of the project.
        project: its name.
        reasons: by container id, of each that is dead.
    """
    mine = sa.select(container.c.id).where(container.c.project == project)
    with catalog.write() as connection:
        dead = car.c.container_id.in_(mine) & car.c.dead_at.is_not(None)
        known = set(connection.scalars(sa.select(car.c.container_id).where(dead)))
        replaced = sa.exists().where(replaced_shard.c.container_id == car.c.container_id)
        for key in sorted(known - set(reasons)):
            again = car.update().where(car.c.container_id == key, ~replaced)
            connection.execute(again.values(dead_at=None, dead_reason=None))
        for key in sorted(set(reasons) - known):
            _mark(connection, key, reasons[key])


@survives_outage
def mark_one(catalog: Catalog, container_id: int, reason: str) -> None:
    """Record that a CAR is dead, and why, also in its deals."""
    with catalog.write() as connection:
        _mark(connection, container_id, reason)


def _mark(connection: Connection, container_id: int, reason: str) -> None:
    values = {"dead_at": time.time(), "dead_reason": reason}
    connection.execute(car.update().where(car.c.container_id == container_id).values(values))
    deals.note_dead(connection, container_id, reason)


@survives_outage
def rows(catalog: Catalog, project: str, *, last_scan: bool = False) -> list[CarRow]:
    """The dead CARs of a project, by number.

    Args:
        catalog: of the project.
        project: its name.
        last_scan: only those that the last scan found.
    """
    wanted = (container.c.project == project) & car.c.dead_at.is_not(None)
    if last_scan:
        began = sa.select(sa.func.max(scan.c.started_at)).where(
            scan.c.project == project, scan.c.finished_at.is_not(None)
        )
        wanted &= car.c.dead_at >= began.scalar_subquery()
    return list(cars.select(catalog, wanted))


def lost(connection: Connection, project: str) -> frozenset[int]:
    """The containers whose CARs are dead, and no provider has them, and that hold live files."""
    dead = (
        sa.select(car.c.container_id)
        .join(container, container.c.id == car.c.container_id)
        .where(container.c.project == project, LOST)
    )
    live = (
        sa.select(shard.c.file_id)
        .join(file, file.c.id == shard.c.file_id)
        .where(shard.c.container_id == sa.bindparam("key"))
        .where(file.c.gone_scan.is_(None), ~skipped.withdrawn())
        .limit(1)
    )
    found = list(connection.scalars(dead))  # mostly none: a look at each file would take long
    return frozenset(key for key in found if connection.scalar(live, {"key": key}) is not None)


def set_aside(connection: Connection, project: str, containers: frozenset[int]) -> bool:
    """Keep the shards of live files in dead CARs as replaced: a new plan is being written that holds them.

    Args:
        connection: of the transaction that writes the plan.
        project: whose plan.
        containers: that were lost when the plan was made, by id.

    Returns:
        False if other ones are lost by now.
    """
    if lost(connection, project) != containers:
        return False
    if not containers:
        return True
    live = (
        sa.select(shard.c.container_id, shard.c.position)
        .join(car, car.c.container_id == shard.c.container_id)
        .join(file, file.c.id == shard.c.file_id)
        .where(file.c.project == project, file.c.gone_scan.is_(None), LOST)
    )
    columns = [column.name for column in replaced_shard.c]
    values = [built_shard.c[name] if name in ("cid", "car_offset") else shard.c[name] for name in columns]
    here = sa.tuple_(shard.c.container_id, shard.c.position).in_(live)
    copied = sa.select(*values).join(built_shard, SAME_SHARD).where(here)
    connection.execute(replaced_shard.insert().from_select(columns, copied))
    for table in (built_shard, shard):
        kept = sa.exists().where(
            replaced_shard.c.container_id == table.c.container_id,
            replaced_shard.c.position == table.c.position,
        )
        connection.execute(table.delete().where(kept))
    return True
