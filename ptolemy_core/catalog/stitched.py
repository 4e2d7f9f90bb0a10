"""CIDs of split files as a whole, stitched from the nodes that their built shards left in the catalog."""

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.dag.stitch import FileNode, file_root
from ptolemy_core.encryption import Form
from ptolemy_core.layout import WHOLE


def _stitched_root(connection: Connection, file_id: int, size: int, profile: Profile) -> FileNode:
    """The root of a split file of `size` bytes, all of whose shards are built."""
    parts = (
        sa.select(built_shard.c.nodes, shard.c.start, shard.c.length, file.c.header)
        .join(shard, SAME_SHARD)
        .join(file, file.c.id == shard.c.file_id)
        .where(shard.c.file_id == file_id)
        .order_by(shard.c.number)
    )
    rows = connection.execute(parts).all()
    lowest = b"".join(bytes(row.nodes) for row in rows)
    last = rows[-1]
    form = Form(last.header is not None, segment=profile.chunk)
    length = form.file_range(size, last.start, last.length)[1]
    return file_root(form.file_size(size), lowest, profile, bare_leaf=length <= profile.chunk)


@survives_outage
def root_of_split(catalog: Catalog, file_id: int, size: int, profile: Profile) -> FileNode:
    """The root of a split file of `size` bytes, all of whose shards are built, with the nodes above its shards."""
    with catalog.read() as connection:
        return _stitched_root(connection, file_id, size, profile)


@survives_outage
def stitch_files(catalog: Catalog, name: str, profile: Profile = UNIXFS_V1_2025) -> int:
    """Record the CID of each split file of a project once all of its shards are built; returns how many."""
    ready = (
        sa.select(file.c.id, file.c.size)
        .join(shard, shard.c.file_id == file.c.id)
        .outerjoin(built_shard, SAME_SHARD)
        .where(file.c.project == name, file.c.cid.is_(None), shard.c.number != WHOLE)
        .group_by(file.c.id, file.c.size)
        .having(sa.func.count() == sa.func.count(built_shard.c.cid))
        .having(sa.func.sum(shard.c.length) == file.c.size)  # not where some were skipped, or never built
    )
    with catalog.read() as connection:
        files = connection.execute(ready).all()
    for key, size in files:
        with catalog.write() as connection:
            value = _stitched_root(connection, key, size, profile).cid
            connection.execute(file.update().where(file.c.id == key).values(cid=value))
    return len(files)
