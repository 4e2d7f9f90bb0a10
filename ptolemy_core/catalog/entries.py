"""The entries that a project's last scan found, with the CIDs that their CARs gave them."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE

_PAGE = 10_000


def live_pages(catalog: Catalog, project: str) -> Iterator[Sequence[Row[Any]]]:
    """All live entries in path order, 10,000 at a time.

    Columns: `id`, `path`, `kind`, `size`, `whole_cid` (of a split file as a whole, once it is known) and `own_cid`
    (of an unsplit file, link or empty folder that is built); CIDs are binary, or None.
    """
    query = (
        sa.select(
            file.c.id,
            file.c.path,
            file.c.kind,
            file.c.size,
            file.c.cid.label("whole_cid"),
            built_shard.c.cid.label("own_cid"),
        )
        .outerjoin(shard, sa.and_(shard.c.file_id == file.c.id, shard.c.number == WHOLE))
        .outerjoin(built_shard, SAME_SHARD)
        .where(file.c.project == project, file.c.gone_scan.is_(None))
        .order_by(file.c.path)
    )
    with catalog.read() as connection:
        yield from connection.execution_options(yield_per=_PAGE).execute(query).partitions()
