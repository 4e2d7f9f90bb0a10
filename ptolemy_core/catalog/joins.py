"""Conditions that many queries share: a shard with its built shard, and paths at or below another."""

import sqlalchemy as sa

from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.tree.paths import range_below

SAME_SHARD = sa.and_(
    built_shard.c.container_id == shard.c.container_id, built_shard.c.position == shard.c.position
)
"""Joins a planned shard with what was built of it."""


def at_or_below(path: bytes) -> sa.ColumnElement[bool]:
    """Whether a file is the entry of this NUL-joined path, or below it; every file for the empty path."""
    if not path:
        return sa.true()
    low, high = range_below(path)
    return sa.or_(file.c.path == path, sa.and_(file.c.path >= low, file.c.path < high))
