"""In which state builds read the files: whether all of a file that CARs hold was read from one and the same state.

A state is `source.State`: ctime in nanoseconds and inode, each modulo 2^64. CARs that hold shards of one file read in
different states may hold together what the file never was.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE

_PAGE = 2000


@dataclass(frozen=True, slots=True)
class ReadStamp:
    """A live file, and the one state in which all of its shards were read for CARs.

    `read_ctime` and `read_inode` are None if not all shards are built, builds read them in different states, or the
    state isn't known: of links, empty folders, and CARs that were built before states were kept.
    """

    file_id: int
    path: bytes
    read_ctime: int | None
    read_inode: int | None


def one_state() -> tuple[sa.ColumnElement[int | None], sa.ColumnElement[int | None]]:
    """`read_ctime` and `read_inode` of `ReadStamp`, for a query that is grouped by file.

    It must have `shard` joined, and `built_shard` outer-joined by `joins.SAME_SHARD`.
    """
    ctime, inode = built_shard.c.read_ctime, built_shard.c.read_inode
    one = sa.and_(
        sa.func.count(ctime) == sa.func.count(shard.c.file_id),
        sa.func.min(ctime) == sa.func.max(ctime),
        sa.func.min(inode) == sa.func.max(inode),
    )
    return (
        sa.case((one, sa.func.min(ctime))).label("read_ctime"),
        sa.case((one, sa.func.min(inode))).label("read_inode"),
    )


def read_stamps(
    catalog: Catalog, project: str, first: bytes = b"", last: bytes | None = None
) -> Iterator[ReadStamp]:
    """Of the live files of a project that are in containers, in path order.

    Args:
        catalog: where the project is.
        project: its name.
        first, last: the paths to begin and end with.
    """
    page = (
        sa.select(file.c.id, file.c.path, *one_state())
        .join(shard, shard.c.file_id == file.c.id)
        .outerjoin(built_shard, SAME_SHARD)
        .where(file.c.project == project, file.c.gone_scan.is_(None), file.c.kind >= 0)
        .group_by(file.c.id, file.c.path)
        .order_by(file.c.path)
        .limit(_PAGE)
    )
    if last is not None:
        page = page.where(file.c.path <= last)
    rows = catalog.fetch(page.where(file.c.path >= first))
    while rows:
        for row in rows:
            yield ReadStamp(row[0], bytes(row[1]), row[2], row[3])
        if len(rows) < _PAGE:
            return
        rows = catalog.fetch(page.where(file.c.path > bytes(rows[-1].path)))


def mixed(catalog: Catalog, container_id: int) -> list[bytes]:
    """Paths of the split files with a shard in this container whose shards builds read in different states."""
    here = sa.select(shard.c.file_id).where(shard.c.container_id == container_id, shard.c.number != WHOLE)
    ctime, inode = built_shard.c.read_ctime, built_shard.c.read_inode
    query = (
        sa.select(file.c.path)
        .join(shard, shard.c.file_id == file.c.id)
        .join(built_shard, SAME_SHARD)
        .where(file.c.id.in_(here))
        .group_by(file.c.id, file.c.path)
        .having(sa.or_(sa.func.min(ctime) != sa.func.max(ctime), sa.func.min(inode) != sa.func.max(inode)))
        .order_by(file.c.path)
    )
    return [bytes(path) for (path,) in catalog.fetch(query)]
