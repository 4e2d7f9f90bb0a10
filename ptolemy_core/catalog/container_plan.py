"""The container plan of a project: what is still to be planned, and writing, dropping and taking back containers."""

import bisect
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import bulk, dead_cars, scans, skipped
from ptolemy_core.catalog.columns import pages
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.dead_cars import LOST
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import car, container, file, shard
from ptolemy_core.catalog.schema import skipped as skipped_table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import ReceiptError
from ptolemy_core.layout import WHOLE, Items
from ptolemy_core.layout.plan import PlannedContainer

_BATCH = 20_000
_MANY = 500
"""Values of one IN."""


@dataclass(frozen=True, slots=True)
class Unplanned:
    """Some of the live files, links and empty folders that aren't wholly in containers, in path order."""

    ids: NDArray[np.int64]
    paths: list[bytes]
    kinds: NDArray[np.int8]
    sizes: NDArray[np.int64]

    @classmethod
    def read(cls, connection: Connection, query: sa.Select[Any]) -> Iterator["Unplanned"]:
        """Rows of a query with id, path, kind and size, so many at a time."""
        for ids, some, kinds, sizes in pages(connection, query, _BATCH):
            yield cls(
                np.array(ids, np.int64), list(some), np.array(kinds, np.int8), np.array(sizes, np.int64)
            )

    def merged(self, other: "Unplanned") -> "Unplanned":
        """All of both."""
        names = [*self.paths, *other.paths]
        order = sorted(range(len(names)), key=names.__getitem__)
        both = Unplanned(
            np.concatenate([self.ids, other.ids]),
            names,
            np.concatenate([self.kinds, other.kinds]),
            np.concatenate([self.sizes, other.sizes]),
        )
        return both.take(order)

    def take(self, rows: Sequence[int]) -> "Unplanned":
        """Those with these indexes, in this order."""
        return Unplanned(self.ids[rows], [self.paths[k] for k in rows], self.kinds[rows], self.sizes[rows])


class PlannedItems(NamedTuple):
    """Items of a plan, and the catalog's id of each one's file."""

    items: Items
    file_ids: NDArray[np.int64]


NOTHING = Unplanned(np.zeros(0, np.int64), [], np.zeros(0, np.int8), np.zeros(0, np.int64))


def merge(batches: Iterable[Unplanned], others: Unplanned) -> Iterator[Unplanned]:
    """Batches with those of `others` in between, all in path order."""
    done = 0
    for batch in batches:
        upto = bisect.bisect_left(others.paths, batch.paths[-1], done)
        yield batch.merged(others.take(range(done, upto))) if upto > done else batch
        done = upto
    if done < len(others.paths):
        yield others.take(range(done, len(others.paths)))


@dataclass(frozen=True, slots=True)
class PartlyBuilt:
    """Files of which only some shards are built, and the numbers of those by the file's id."""

    files: Unplanned
    shards: dict[int, frozenset[int]]


def unplanned(connection: Connection, project: str, *, built_only: bool = False) -> sa.Select[Any]:
    """The live files, links and empty folders that are in no container, in path order.

    Not those that a build has dropped: they wait for the next scan.
    With `built_only`, unbuilt containers don't count, nor dead CARs.
    """
    holds = sa.exists().where(shard.c.file_id == file.c.id)
    if built_only:
        holds = holds.where(car.c.container_id == shard.c.container_id, ~LOST)
    return (
        sa.select(file.c.id, file.c.path, file.c.kind, file.c.size)
        .where(file.c.project == project, file.c.gone_scan.is_(None), file.c.kind >= 0)
        .where(~holds, ~skipped.withdrawn())
        .order_by(file.c.path)
    )


def read_unplanned(connection: Connection, project: str, *, built_only: bool) -> Iterator[Unplanned]:
    """What `unplanned` selects, in batches."""
    return Unplanned.read(connection, unplanned(connection, project, built_only=built_only))


def partly_built(connection: Connection, project: str) -> PartlyBuilt:
    """The live split files that are in built containers with some of their shards only.

    Planning again makes such files: it takes the unbuilt containers with their other shards back.
    """
    built = sa.exists().where(car.c.container_id == shard.c.container_id, ~LOST)
    partly = (
        sa.select(file.c.id)
        .join(shard, shard.c.file_id == file.c.id)
        .where(file.c.project == project, file.c.gone_scan.is_(None), shard.c.number != WHOLE)
        .where(built, ~skipped.withdrawn())
        .group_by(file.c.id, file.c.size)
        .having(sa.func.sum(shard.c.length) < file.c.size)
    )
    files = sa.select(file.c.id, file.c.path, file.c.kind, file.c.size).where(file.c.id.in_(partly))
    found = NOTHING
    for batch in Unplanned.read(connection, files.order_by(file.c.path)):
        found = found.merged(batch)
    built_numbers = sa.select(shard.c.number).where(built)
    shards = {
        key: frozenset(connection.scalars(built_numbers.where(shard.c.file_id == key)))
        for key in found.ids.tolist()
    }
    return PartlyBuilt(found, shards)


def stale(connection: Connection, project: str) -> frozenset[int] | None:
    """The containers that aren't built, by id, if one of them holds a version that is gone, or a CAR is dead.

    None: all of the plan holds.
    """
    unbuilt = (
        sa.select(container.c.id)
        .where(container.c.project == project)
        .where(~sa.exists().where(car.c.container_id == container.c.id))
    )
    gone = connection.scalar(
        sa.select(shard.c.file_id)
        .join(file, file.c.id == shard.c.file_id)
        .where(shard.c.container_id.in_(unbuilt), file.c.gone_scan.is_not(None))
        .limit(1)
    )
    if gone is None and not dead_cars.lost(connection, project):
        return None
    return frozenset(connection.scalars(unbuilt))


def take_back(connection: Connection, ids: Collection[int]) -> bool:
    """Take unbuilt containers back; False if one of them is built by now, or has been planned again."""
    chosen = sorted(ids)
    for low in range(0, len(chosen), _MANY):
        part = chosen[low : low + _MANY]
        free = ~sa.exists().where(car.c.container_id == container.c.id)
        query = container.delete().where(container.c.id.in_(part), free)
        if connection.execute(query).rowcount != len(part):
            return False
    return True


def next_number(catalog: Catalog, project: str, without: Collection[int] = ()) -> int:
    """The number of the next container, were those of these ids taken back."""
    query = sa.select(container.c.id, container.c.number).where(container.c.project == project)
    with catalog.read() as connection:
        return 1 + max((row.number for row in connection.execute(query) if row.id not in without), default=-1)


def save(
    connection: Connection,
    project: str,
    planned: Sequence[PlannedContainer],
    items: Iterable[PlannedItems],
) -> int:
    """Write a plan; containers are numbered on from the project's last one.

    Args:
        connection: of the catalog, in a transaction.
        project: the project's name.
        planned: its new containers.
        items: of all of them, from the first one's start on, in batches of any sizes.

    Returns:
        the first number.
    """
    last = connection.scalar(sa.select(sa.func.max(container.c.number)).where(container.c.project == project))
    first = 0 if last is None else last + 1
    _insert(connection, project, first, planned, items)
    return first


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a container: its plan (None: nothing), its items, and the id of each one's file."""

    planned: PlannedContainer | None
    items: Items
    file_ids: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Dropped:
    """An item that a build drops: the id of its file, its shard number or WHOLE, and why."""

    file_id: int
    shard: int
    reason: str


_SHARD = ("container_id", "position", "file_id", "number", "start", "length")
_DROPPED = ("file_id", "shard", "reason", "project", "container", "skipped_at")


def drop(catalog: Catalog, project: str, row: ContainerRow, left: Left, dropped: Sequence[Dropped]) -> None:
    """Drop items of an unbuilt container, with a record of each; what is left is planned again under its number.

    It gets a new id, so that a receipt of what it held before fits no container any more.

    Raises:
        ReceiptError: another process has already planned it again.
    """
    with catalog.write() as connection:
        if not connection.execute(container.delete().where(container.c.id == row.id)).rowcount:
            raise ReceiptError(
                f"the plan of container {row.number} changed while its CAR was built: run blitz again"
            )
        scans.set_planned(connection, project, None)
        if left.planned is not None:
            _insert(
                connection, project, row.number, [left.planned], [PlannedItems(left.items, left.file_ids)]
            )
        same = (project, row.number, time.time())
        bulk.insert(
            connection,
            skipped_table,
            _DROPPED,
            [(one.file_id, one.shard, one.reason, *same) for one in dropped],
        )


def _insert(
    connection: Connection,
    project: str,
    first: int,
    planned: Sequence[PlannedContainer],
    items: Iterable[PlannedItems],
) -> None:
    """Insert containers, the first of them under that number, and their shards."""
    now = time.time()
    columns = ("project", "number", "items", "data_bytes", "car_size", "piece_size", "planned_at")
    new_rows = (
        (project, number, one.stop - one.start, one.data_bytes, one.car_size, one.piece_size, now)
        for number, one in enumerate(planned, first)
    )
    bulk.insert(connection, container, columns, new_rows)
    new = sa.select(container.c.id).where(
        container.c.project == project,
        container.c.number >= first,
        container.c.number < first + len(planned),
    )
    keys = np.array(connection.scalars(new.order_by(container.c.number)).all(), dtype=np.int64)
    starts = np.array([one.start for one in planned], dtype=np.int64)
    stops = np.array([one.stop for one in planned], dtype=np.int64)
    at = planned[0].start if planned else 0
    for part, file_ids in items:
        for low in range(0, len(file_ids), _BATCH):
            some = slice(low, min(low + _BATCH, len(file_ids)))
            row = np.arange(at + some.start, at + some.stop)
            of = np.searchsorted(stops, row, side="right")
            columns_of: list[NDArray[Any]] = [keys[of], row - starts[of], file_ids[some]]
            columns_of += [part.shards[some], part.starts[some], part.sizes[some]]
            values = (column.tolist() for column in columns_of)
            bulk.insert_columns(connection, shard, dict(zip(_SHARD, values, strict=True)))
        at += len(file_ids)


@survives_outage
def any_stale(catalog: Catalog, project: str) -> bool:
    """Whether a container that isn't built holds something that is gone: containerize plans it again."""
    with catalog.read() as connection:
        return stale(connection, project) is not None


@survives_outage
def any_unplanned(catalog: Catalog, project: str) -> bool:
    """Whether something of the project's last scan is in no container."""
    with catalog.read() as connection:
        newest = connection.execute(scans.newest_merged(project)).first()
        if newest is not None and newest.planned:
            return bool(dead_cars.lost(connection, project))
        if connection.execute(unplanned(connection, project).limit(1)).first() is not None:
            return True
        return bool(dead_cars.lost(connection, project))
