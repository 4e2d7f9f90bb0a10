"""Conditions that many queries share: a shard with its built shard, and paths at or below another."""

import sqlalchemy as sa

from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.tree.paths import range_below

SAME_SHARD = sa.and_(
    built_shard.c.container_id == shard.c.container_id, built_shard.c.position == shard.c.position
)
"""Joins a planned shard with what was built of it."""


def at_or_below(path: bytes, column: sa.ColumnElement[bytes] = file.c.path) -> sa.ColumnElement[bool]:
    """Whether a column's path is this NUL-joined one, or below it; every path is below the empty one."""
    if not path:
        return sa.true()
    low, high = range_below(path)
    return sa.or_(column == path, sa.and_(column >= low, column < high))
