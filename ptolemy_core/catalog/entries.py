"""The entries that a project's last scan found, with the CIDs that their CARs gave them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from ptolemy_core.catalog.columns import pages
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.stitched import root_of_split
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag.profile import Profile
from ptolemy_core.dag.stitch import FileNode
from ptolemy_core.layout import WHOLE


@dataclass(frozen=True, slots=True)
class LivePage:
    """Some entries of the last scan, as columns.

    Attributes:
        paths: NUL-joined.
        kinds: see `tree.Kind`.
        sizes: bytes.
        cids: of unsplit files, links and empty folders that are built; None for others.
        split: by its place in the page, the root of a split file whose shards are all built, with the nodes above
            them.
    """

    paths: Sequence[bytes]
    kinds: NDArray[np.int8]
    sizes: NDArray[np.int64]
    cids: Sequence[bytes | None]
    split: Mapping[int, FileNode]

    def __len__(self) -> int:
        return len(self.paths)


def live_pages(catalog: Catalog, project: str, profile: Profile) -> Iterator[LivePage]:
    """All live entries in path order, some thousands at a time."""
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
        for ids, paths, kinds, sizes, wholes, cids in pages(connection, query):
            split = {
                row: root_of_split(catalog, ids[row], sizes[row], profile)
                for row, whole in enumerate(wholes)
                if whole is not None and cids[row] is None
            }
            yield LivePage(paths, np.array(kinds, np.int8), np.array(sizes, np.int64), cids, split)
