"""Small values (JSON) that one step of a run hands to the next, which may run on another machine."""

import time

import sqlalchemy as sa

from ptolemy_core.catalog.schema import handover as table
from ptolemy_core.catalog.store import Catalog

KEEP = 30 * 24 * 3600.0
"""Seconds that a value is kept: a run may be retried from where it failed, or wait long for free space."""


def put(catalog: Catalog, key: str, value: bytes) -> None:
    """Keep a value; one of that key is replaced, and what is older than KEEP is dropped."""
    now = time.time()
    with catalog.write() as connection:
        connection.execute(table.delete().where((table.c.key == key) | (table.c.written_at < now - KEEP)))
        connection.execute(table.insert().values(key=key, value=value, written_at=now))


def get(catalog: Catalog, key: str) -> bytes:
    """The value of that key.

    Raises:
        KeyError: there is none (any more).
    """
    with catalog.read() as connection:
        value = connection.scalar(sa.select(table.c.value).where(table.c.key == key))
    if value is None:
        raise KeyError(key)
    return bytes(value)
