"""Folders of watched projects as the last scan saw them: the base that a watch compares with."""

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import bulk
from ptolemy_core.catalog.schema import folder
from ptolemy_core.catalog.store import Catalog

_PAGE = 10_000
_MANY = 500

Folder = tuple[bytes, int]
"""NUL-joined path and token (`source.FolderSeen`): on a file system, st_mtime_ns."""


def after(catalog: Catalog, project: str, last: bytes | None, limit: int) -> list[Folder]:
    """At most `limit` folders in path order, those after the path `last` (None: from the first)."""
    query = sa.select(folder.c.path, folder.c.mtime).where(folder.c.project == project)
    if last is not None:
        query = query.where(folder.c.path > last)
    with catalog.read() as connection:
        return [
            (bytes(row.path), row.mtime)
            for row in connection.execute(query.order_by(folder.c.path).limit(limit))
        ]


def rows(catalog: Catalog, project: str) -> Iterator[Folder]:
    """All folders in path order, read in pages: others may write between them."""
    last = None
    while True:
        page = after(catalog, project, last, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def top_token(catalog: Catalog, project: str) -> int | None:
    """The token of the target folder itself; None if no scan noted it."""
    query = sa.select(folder.c.mtime).where(folder.c.project == project, folder.c.path == b"")
    with catalog.read() as connection:
        found: int | None = connection.scalar(query)
    return found


def known(catalog: Catalog, project: str, paths: Sequence[bytes]) -> set[bytes]:
    """Which of these folders the scan saw."""
    found: set[bytes] = set()
    with catalog.read() as connection:
        for low in range(0, len(paths), _MANY):
            part = paths[low : low + _MANY]
            query = sa.select(folder.c.path).where(folder.c.project == project, folder.c.path.in_(part))
            found.update(bytes(path) for path in connection.scalars(query))
    return found


def replace(connection: Connection, project: str, old: Iterable[bytes], new: Sequence[Folder]) -> None:
    """Remove the folders of the paths `old`, then add the `new` ones."""
    gone = folder.delete().where(folder.c.project == project, folder.c.path == sa.bindparam("old"))
    values = [{"old": path} for path in old]
    if values:
        connection.execute(gone, values)
    with bulk.indexed([path for path, _ in new]):
        bulk.insert(connection, folder, ("path", "mtime"), new, {"project": project})


def forget(connection: Connection, project: str) -> None:
    """Remove all folders of a project: it isn't watched."""
    connection.execute(folder.delete().where(folder.c.project == project))
