"""The entries that a project's last scan found, with the CIDs that their CARs gave them."""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.stitched import root_of_split
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.layout import WHOLE

_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class LiveEntry:
    """An entry of the last scan.

    Attributes:
        path: NUL-joined.
        kind: see `tree.Kind`.
        size: bytes.
        cid: of an unsplit file, link or empty folder that is built.
        split: the root of a split file whose shards are all built, with the nodes above them.
    """

    path: bytes
    kind: int
    size: int
    cid: bytes | None
    split: FileNode | None


def live_pages(catalog: Catalog, project: str, profile: Profile) -> Iterator[list[LiveEntry]]:
    """All live entries in path order, 10,000 at a time."""
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
        for rows in connection.execution_options(yield_per=_PAGE).execute(query).partitions():
            page = []
            for row in rows:
                own = None if row.own_cid is None else bytes(row.own_cid)
                is_split = own is None and row.whole_cid is not None
                split = root_of_split(catalog, row.id, row.size, profile) if is_split else None
                page.append(LiveEntry(bytes(row.path), row.kind, row.size, own, split))
            yield page
