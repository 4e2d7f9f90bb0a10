"""Containers of a project as rows, and what a build needs of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ptolemy_core.catalog.columns import NumberColumn, pages
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import car, container, file, shard
from ptolemy_core.catalog.schema import project as project_table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import Items
from ptolemy_core.source import Stamps
from ptolemy_core.tree.packed import PackedPaths

_BATCH = 20_000
_CONTENT_TYPES = (np.int8, np.int64, np.int64, np.int32, np.int64, np.int64)
"""Of the columns that `content` reads: kind, length, start, shard number, size, stamp's token."""


IS_BUILT = sa.and_(car.c.container_id.is_not(None), car.c.named)
"""A CAR whose receipt was written before it got its name isn't built until it is known to have it."""


@dataclass(frozen=True, slots=True)
class ContainerRow:
    """A container of the plan.

    Attributes:
        id: the catalog's.
        number: within the project.
        items: files, shards, links and empty folders in it.
        data_bytes, car_size, piece_size: exact sizes in bytes.
        built: whether its CAR is built.
        car_storage: how its CAR is stored, or will be as things are now.
    """

    id: int
    number: int
    items: int
    data_bytes: int
    car_size: int
    piece_size: int
    built: bool
    car_storage: str = "staged"

    @property
    def padding(self) -> int:
        """Bytes of the piece that hold no CAR: what it holds unpadded, less the CAR."""
        return self.piece_size // 128 * 127 - self.car_size


@survives_outage
def rows(
    catalog: Catalog,
    project: str,
    number: int | None = None,
    *,
    after: int | None = None,
    limit: int | None = None,
) -> list[ContainerRow]:
    """All containers of a project, by number; or the one of this number, if there is one.

    Args:
        catalog: of the project.
        project: its name.
        number: of the only container wanted.
        after: leave out containers up to this number.
        limit: at most this many.
    """
    query = (
        sa.select(
            container.c.id,
            container.c.number,
            container.c["items"],
            container.c.data_bytes,
            container.c.car_size,
            container.c.piece_size,
            IS_BUILT,
            sa.func.coalesce(car.c.car_storage, project_table.c.car_storage),
        )
        .join(project_table, project_table.c.name == container.c.project)
        .outerjoin(car, car.c.container_id == container.c.id)
        .where(container.c.project == project)
        .order_by(container.c.number)
        .limit(limit)
    )
    if number is not None:
        query = query.where(container.c.number == number)
    if after is not None:
        query = query.where(container.c.number > after)
    with catalog.read() as connection:
        return [ContainerRow(*row) for row in connection.execute(query)]


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a project's plan: how many containers, how many of them built, and the bytes of their CARs.

    And how many of the built CARs are verified, and delivered.
    """

    containers: int
    built: int
    car_bytes: int
    built_bytes: int
    verified: int
    delivered: int


@survives_outage
def totals(catalog: Catalog, project: str) -> Totals:
    """What `rows` adds up to, quick for any number of containers."""
    query = (
        sa.select(
            sa.func.count(),
            sa.func.sum(sa.case((IS_BUILT, 1), else_=0)),
            sa.func.sum(container.c.car_size),
            sa.func.sum(sa.case((IS_BUILT, container.c.car_size), else_=0)),
            sa.func.count(car.c.verified_at),
            sa.func.count(car.c.delivered_at),
        )
        .select_from(container)
        .outerjoin(car, car.c.container_id == container.c.id)
        .where(container.c.project == project)
    )
    with catalog.read() as connection:
        return Totals(*(int(value or 0) for value in connection.execute(query).one()))


@dataclass(frozen=True, slots=True)
class Content:
    """The items of one container and what the scan saw of their files; see `source.Inputs`.

    `headers` are those of encrypted files (None: not one); without any there may be none at all. Ranges and sizes are
    those of the source, also of an encrypted project.
    """

    items: Items
    stamps: Stamps
    targets: dict[int, bytes]
    headers: Sequence[bytes | None] = ()


@survives_outage
def content(catalog: Catalog, container_id: int) -> Content:
    """What a container holds, in its order."""
    query = (
        sa.select(
            file.c.path,
            file.c.kind,
            shard.c.length,
            shard.c.start,
            shard.c.number,
            file.c.size,
            file.c.mtime,
            file.c.target,
            file.c.header,
        )
        .join(file, file.c.id == shard.c.file_id)
        .where(shard.c.container_id == container_id)
        .order_by(shard.c.position)
    )
    paths = PackedPaths()
    numbers = [NumberColumn(dtype) for dtype in _CONTENT_TYPES]
    targets: dict[int, bytes] = {}
    headers: list[bytes | None] = []
    count = 0
    with catalog.read() as connection:
        for some, *columns, leads_to, of_files in pages(connection, query, _BATCH):
            paths.extend(some)
            for of_column, column in zip(numbers, columns, strict=True):
                of_column.extend(column)
            targets |= {count + k: target for k, target in enumerate(leads_to) if target is not None}
            if headers or any(header is not None for header in of_files):
                headers += [None] * (count - len(headers))
                headers += of_files
            count += len(some)
    kinds, lengths, starts, shards, sizes, tokens = (of_column.whole() for of_column in numbers)
    if np.array_equal(sizes, lengths):  # nothing is split
        sizes = lengths
    return Content(
        Items(paths.finish(), kinds, lengths, starts, shards), Stamps(sizes, tokens), targets, headers
    )


@survives_outage
def file_ids(catalog: Catalog, container_id: int) -> NDArray[np.int64]:
    """The ids of the files of a container's items, in its order."""
    query = sa.select(shard.c.file_id).where(shard.c.container_id == container_id).order_by(shard.c.position)
    found = NumberColumn(np.int64)
    with catalog.read() as connection:
        for (ids,) in pages(connection, query, _BATCH):
            found.extend(ids)
    whole: NDArray[np.int64] = found.whole()
    return whole
