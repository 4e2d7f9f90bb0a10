"""Serial projects whose last blitz stopped because staging_dir was full, and what the next CAR waits for."""

import time
from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog.schema import waiting as table
from ptolemy_core.catalog.store import Catalog


@dataclass(frozen=True, slots=True)
class Waiting:
    """A project that waits for free space.

    Attributes:
        project: its name.
        number: of the container that is next.
        bytes: that have to leave staging_dir before it can be built.
        since: when the blitz stopped, seconds since 1970.
    """

    project: str
    number: int
    bytes: int
    since: float


def record(catalog: Catalog, project: str, number: int, missing: int) -> None:
    """Record that a blitz stopped before container `number`, for `missing` bytes."""
    with catalog.write() as connection:
        connection.execute(table.delete().where(table.c.project == project))
        row = {"project": project, "number": number, "bytes": missing, "since": time.time()}
        connection.execute(table.insert().values(row))


def clear(catalog: Catalog, project: str) -> None:
    """The project waits no more."""
    with catalog.write() as connection:
        connection.execute(table.delete().where(table.c.project == project))


def rows(catalog: Catalog, project: str | None = None) -> list[Waiting]:
    """All projects that wait, by name; or the one of that name, if it waits."""
    query = sa.select(*(table.c[name] for name in Waiting.__dataclass_fields__)).order_by(table.c.project)
    if project is not None:
        query = query.where(table.c.project == project)
    with catalog.read() as connection:
        return [Waiting(*row) for row in connection.execute(query)]
