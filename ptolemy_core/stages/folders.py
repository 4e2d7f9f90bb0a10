"""What a scan saw of the folders of a watched project: the base that a watch compares them with."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog import bulk
from ptolemy_core.catalog.schema import folder
from ptolemy_core.catalog.store import Catalog

_BATCH = 10_000


class FolderMerge:
    """The walk's folders against the catalog's, both in path order; differences are written in batches."""

    def __init__(self, catalog: Catalog, project: str) -> None:
        self._catalog = catalog
        self._project = project
        self._known = self._rows()
        self._next = next(self._known, None)
        self._new: list[tuple[str, bytes, int]] = []
        self._old: list[bytes] = []

    def _rows(self) -> Iterator[Any]:
        last = None
        while True:
            query = sa.select(folder.c.path, folder.c.mtime).where(folder.c.project == self._project)
            if last is not None:
                query = query.where(folder.c.path > last)
            with self._catalog.read() as connection:
                page = connection.execute(query.order_by(folder.c.path).limit(_BATCH)).all()
            yield from page
            if len(page) < _BATCH:
                return
            last = page[-1].path

    def meet(self, path: bytes, token: int) -> None:
        """Take the walk's next folder."""
        while self._next is not None and self._next.path < path:
            self._drop()
        if self._next is not None and self._next.path == path:
            if self._next.mtime == token:
                self._next = next(self._known, None)
                return
            self._drop()
        self._new.append((self._project, path, token))
        if len(self._new) + len(self._old) >= _BATCH:
            self._flush()

    def finish(self) -> None:
        """All folders behind the walk's last one are gone."""
        while self._next is not None:
            self._drop()
        self._flush()

    def _drop(self) -> None:
        if self._next is not None:
            self._old.append(bytes(self._next.path))
            self._next = next(self._known, None)

    def _flush(self) -> None:
        gone = folder.delete().where(folder.c.project == self._project, folder.c.path == sa.bindparam("old"))
        with self._catalog.write() as connection:
            if self._old:
                connection.execute(gone, [{"old": path} for path in self._old])
            with bulk.indexed([path for _, path, _ in self._new]):
                bulk.insert(connection, folder, ("project", "path", "mtime"), self._new)
        self._new, self._old = [], []


def forget(catalog: Catalog, project: str) -> None:
    """Drop the base of a project that isn't watched."""
    with catalog.write() as connection:
        connection.execute(folder.delete().where(folder.c.project == project))
