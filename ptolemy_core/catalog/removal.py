"""Removing a project from the catalog, and giving it another name: all rows of all tables that belong to it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ptolemy_core.catalog import data_keys, projects
from ptolemy_core.catalog.schema import metadata, project
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import ProjectExistsError

if TYPE_CHECKING:
    from ptolemy_core.keys import WrappedKey


def delete(catalog: Catalog, name: str) -> None:
    """Remove a project and all that is known of it, in one transaction."""
    with catalog.write() as connection:
        projects.claim(connection, name)
        for table in reversed(metadata.sorted_tables):
            mine = _belongs(table, name)
            if mine is not None:
                connection.execute(table.delete().where(mine))


def rename(catalog: Catalog, old: str, new: str, wrapped: "Sequence[WrappedKey]" = ()) -> None:
    """Give a project another name, in one transaction.

    Args:
        catalog: where it is.
        old, new: its name and the new one.
        wrapped: its data keys, wrapped for the new name.

    Raises:
        ProjectExistsError: another project has it.
    """
    with catalog.write() as connection:
        projects.claim(connection, old)
        if connection.scalar(sa.select(project.c.name).where(project.c.name == new)) is not None:
            raise ProjectExistsError(f"there is a project {new!r} already: use another name")
        row = connection.execute(sa.select(project).where(project.c.name == old)).mappings().one()
        connection.execute(project.insert().values(**{**row, "name": new}))
        for table in metadata.sorted_tables:
            if table is not project and "project" in table.c:
                connection.execute(table.update().where(table.c.project == old).values(project=new))
        connection.execute(project.delete().where(project.c.name == old))
        if wrapped:
            data_keys.replace_all(connection, new, wrapped)


def _belongs(table: sa.Table, name: str) -> sa.ColumnElement[bool] | None:
    """The rows of a table that belong to a project; None: it holds nothing of projects."""
    if table is project:
        return table.c.name == name
    if "project" in table.c:
        return table.c.project == name
    for key in _foreign_keys(table):
        parent = key.column.table
        mine = _belongs(parent, name)
        if mine is not None:
            return key.parent.in_(sa.select(key.column).where(mine))
    return None


def _foreign_keys(table: sa.Table) -> Iterator[sa.ForeignKey]:
    """Those that lead to other tables, in the order of the columns."""
    for column in table.columns:
        yield from (key for key in column.foreign_keys if key.column.table is not table)
