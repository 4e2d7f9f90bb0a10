"""Containers of a project as rows, and what a build needs of one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ptolemy_core.catalog.columns import pages
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import car, container, file, shard
from ptolemy_core.catalog.schema import project as project_table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import Items
from ptolemy_core.source import Stamps

_BATCH = 20_000
_CONTENT_TYPES = (np.int8, np.int64, np.int64, np.int32, np.int64, np.int64, np.int64)
"""Of the columns that `content` reads: kind, length, start, shard number, size, stamp's token, the file's id."""


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

    `file_ids` are the catalog's ids of the items' files, `headers` those of encrypted files (None: not one). Ranges
    and sizes are those of the source, also of an encrypted project.
    """

    items: Items
    stamps: Stamps
    targets: dict[int, bytes]
    file_ids: NDArray[np.int64]
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
            file.c.id,
            file.c.target,
            file.c.header,
        )
        .join(file, file.c.id == shard.c.file_id)
        .where(shard.c.container_id == container_id)
        .order_by(shard.c.position)
    )
    paths: list[bytes] = []
    numbers: list[list[NDArray[Any]]] = [[] for _ in _CONTENT_TYPES]
    targets: dict[int, bytes] = {}
    headers: list[bytes | None] = []
    with catalog.read() as connection:
        for some, *columns, leads_to, of_files in pages(connection, query, _BATCH):
            base = len(paths)
            paths += some
            for of_column, dtype, column in zip(numbers, _CONTENT_TYPES, columns, strict=True):
                of_column.append(np.array(column, dtype=dtype))
            targets |= {base + k: target for k, target in enumerate(leads_to) if target is not None}
            headers += of_files
    kinds, lengths, starts, shards, sizes, tokens, file_ids = (
        np.concatenate([np.zeros(0, dtype=dtype), *of_column])
        for of_column, dtype in zip(numbers, _CONTENT_TYPES, strict=True)
    )
    items = Items(paths, kinds, lengths, starts, shards)
    return Content(items, Stamps(sizes, tokens), targets, file_ids, headers)
