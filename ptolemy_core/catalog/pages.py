"""Long lists in pages: what stands behind the last one seen, so many at most."""

import dataclasses
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.schema import car, container
from ptolemy_core.catalog.schema import project as project_table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.project import Project


def projects_after(catalog: Catalog, last: str | None, limit: int) -> list[Project]:
    """Projects by name, those behind `last`."""
    query = sa.select(project_table).order_by(project_table.c.name).limit(limit)
    if last is not None:
        query = query.where(project_table.c.name > last)
    with catalog.read() as connection:
        rows = connection.execute(query).mappings().all()
    return [Project.model_construct(**{key: row[key] for key in Project.model_fields}) for row in rows]


def cars_after(catalog: Catalog, project: str, last: int, limit: int) -> list[CarRow]:
    """A project's built CARs by number, those of containers behind number `last` (-1: from the first)."""
    columns = [
        car.c[field.name] if field.name in car.c else container.c[field.name]
        for field in dataclasses.fields(CarRow)
    ]
    query = (
        sa.select(*columns)
        .join(container, container.c.id == car.c.container_id)
        .where(container.c.project == project, container.c.number > last)
        .order_by(container.c.number)
        .limit(limit)
    )
    with catalog.read() as connection:
        return [CarRow(*map(_plain, row)) for row in connection.execute(query)]


def containers_after(catalog: Catalog, project: str, last: int, limit: int) -> list[ContainerRow]:
    """A project's planned containers by number, those behind number `last` (-1: from the first)."""
    query = (
        sa.select(
            container.c.id,
            container.c.number,
            container.c["items"],
            container.c.data_bytes,
            container.c.car_size,
            container.c.piece_size,
            car.c.container_id.is_not(None),
        )
        .outerjoin(car, car.c.container_id == container.c.id)
        .where(container.c.project == project, container.c.number > last)
        .order_by(container.c.number)
        .limit(limit)
    )
    with catalog.read() as connection:
        return [ContainerRow(*row) for row in connection.execute(query)]


def _plain(value: Any) -> Any:
    """Postgres hands out bytes as memoryviews."""
    return bytes(value) if isinstance(value, memoryview) else value
