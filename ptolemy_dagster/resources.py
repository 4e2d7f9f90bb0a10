"""What assets are given: the catalog, and how much of the machine a build may use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import PrivateAttr

from ptolemy_core.car.options import THREADS
from ptolemy_core.catalog import Catalog
from ptolemy_core.environment import whole_number
from ptolemy_dagster.roots import require_allowed

BUILD_PROCESSES = whole_number("PTOLEMY_BUILD_PROCESSES", os.cpu_count() or 1, 10_000)
"""CARs that a blitz builds at once on this machine."""

SENSOR_SECONDS = whole_number("PTOLEMY_SENSOR_SECONDS", 30, 86_400)
"""Seconds between two looks of the sensors."""


class CatalogResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The catalog of projects, files and CARs: of PTOLEMY_PG_URL, else SQLite in Dagster's home.

    A run's configuration can't name another one: it would be read and written wherever that leads.
    """

    _catalog: Catalog | None = PrivateAttr(default=None)

    def open(self) -> Catalog:
        """The open catalog; one for the life of the resource."""
        if self._catalog is None:
            self._catalog = Catalog()
        return self._catalog

    def open_for(self, project: str) -> Catalog:
        """The open catalog, for work on a project's folders.

        Raises:
            OutsideRootsError: one of them isn't below the roots that the environment names.
        """
        catalog = self.open()
        require_allowed(catalog, project)
        return catalog

    @contextmanager
    def opened(self) -> Iterator[Catalog]:
        """The open catalog, its connections closed at the end: for what runs again and again in one process."""
        try:
            yield self.open()
        finally:
            self.open().engine.dispose()


class Builder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """How CARs are built on this machine; a run's configuration doesn't say."""

    @property
    def threads(self) -> int:
        """Threads that read and hash for one CAR; the CAR doesn't depend on it."""
        return THREADS
