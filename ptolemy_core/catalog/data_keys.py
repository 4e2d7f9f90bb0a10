"""Wrapped data keys of projects: of no use to whoever has the catalog but not the key that wrapped them."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from ptolemy_core.catalog.schema import data_key as table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.keys import WrappedKey

_FIELDS = tuple(field.name for field in fields(WrappedKey))
_IDENTITY = ("project", "use", "version")


def keep(catalog: Catalog, wrapped: WrappedKey) -> WrappedKey:
    """Keep a new data key, unless there is one of that project, use and version; returns the one that is kept.

    Two processes that make a project's first data key at once thus get the same.
    """
    try:
        with catalog.write() as connection:
            connection.execute(table.insert().values(_row(wrapped)))
    except IntegrityError:
        kept = [one for one in data_keys(catalog, wrapped.project) if _same(one, wrapped)]
        if not kept:  # it isn't that it is there: there is no such project
            raise
        return kept[0]
    return wrapped


def data_keys(catalog: Catalog, project: str | None = None, *, alias: str | None = None) -> list[WrappedKey]:
    """The wrapped data keys of a project, or of all, by project, use and version.

    Args:
        catalog: where they are.
        project: only this one's.
        alias: only those that a key of this alias wrapped.
    """
    query = sa.select(*(table.c[name] for name in _FIELDS)).order_by(*(table.c[name] for name in _IDENTITY))
    if project is not None:
        query = query.where(table.c.project == project)
    if alias is not None:
        query = query.where(table.c.alias == alias)
    return [_wrapped(row._mapping) for row in catalog.fetch(query)]


def replace(catalog: Catalog, changes: Iterable[tuple[WrappedKey, WrappedKey]]) -> int:
    """Replace data keys by their rewrapped ones, all or none.

    Returns:
        how many: one that another process has rewrapped in the meantime doesn't change.
    """
    done = 0
    with catalog.write() as connection:
        for old, new in changes:
            where = [table.c[name] == value for name, value in _row(old).items()]
            done += connection.execute(table.update().where(*where).values(_row(new))).rowcount
    return done


def replace_all(connection: Connection, project: str, wrapped: Sequence[WrappedKey]) -> None:
    """Replace all data keys of a project, in a transaction."""
    connection.execute(table.delete().where(table.c.project == project))
    connection.execute(table.insert(), [_row(one) for one in wrapped])


def _wrapped(row: sa.RowMapping) -> WrappedKey:
    values = dict(row)
    values["wrapped"] = bytes(row["wrapped"])
    return WrappedKey(**values)


def _row(wrapped: WrappedKey) -> dict[str, Any]:
    return {name: getattr(wrapped, name) for name in _FIELDS}


def _same(one: WrappedKey, other: WrappedKey) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _IDENTITY)
