"""Folders met by the scan of a watched project, merged with those that the scan before noted."""

from ptolemy_core.catalog import folders
from ptolemy_core.catalog.store import Catalog

_BATCH = 10_000


class FolderMerge:
    """The walk's folders against the catalog's, both in path order; differences are written in batches."""

    def __init__(self, catalog: Catalog, project: str) -> None:
        self._catalog = catalog
        self._project = project
        self._known = folders.rows(catalog, project)
        self._next = next(self._known, None)
        self._new: list[folders.Folder] = []
        self._old: list[bytes] = []

    def meet(self, path: bytes, token: int) -> None:
        """Take the walk's next folder."""
        while self._next is not None and self._next[0] < path:
            self._drop()
        if self._next is not None and self._next[0] == path:
            if self._next[1] == token:
                self._next = next(self._known, None)
                return
            self._drop()
        self._new.append((path, token))
        if len(self._new) + len(self._old) >= _BATCH:
            self._flush()

    def finish(self) -> None:
        """All folders after the walk's last one are gone."""
        while self._next is not None:
            self._drop()
        self._flush()

    def _drop(self) -> None:
        if self._next is not None:
            self._old.append(self._next[0])
            self._next = next(self._known, None)

    def _flush(self) -> None:
        folders.replace(self._catalog, self._project, self._old, self._new)
        self._new, self._old = [], []
