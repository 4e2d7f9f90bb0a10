"""What assets are given: the catalog, and how much of the machine a build may use."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field, PrivateAttr

from ptolemy_core.car.fill import THREADS
from ptolemy_core.catalog import Catalog

BUILD_PROCESSES = int(os.environ.get("PTOLEMY_BUILD_PROCESSES") or os.cpu_count() or 1)
"""CARs that a blitz builds at once on this machine."""

SENSOR_SECONDS = int(os.environ.get("PTOLEMY_SENSOR_SECONDS") or 30)
"""Seconds between two looks of the sensors."""


class CatalogResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The catalog of projects, files and CARs."""

    url: str | None = Field(
        default=None,
        description="SQLAlchemy URL; by default PTOLEMY_PG_URL, else SQLite in Dagster's home.",
    )
    _catalog: Catalog | None = PrivateAttr(default=None)

    def open(self) -> Catalog:
        """The open catalog; one for the life of the resource."""
        if self._catalog is None:
            self._catalog = Catalog(self.url)
        return self._catalog

    @contextmanager
    def opened(self) -> Iterator[Catalog]:
        """The open catalog, its connections closed at the end: for what runs again and again in one process."""
        try:
            yield self.open()
        finally:
            self.open().engine.dispose()


class Builder(dg.ConfigurableResource):  # type: ignore[type-arg]
    """How CARs are built on this machine."""

    threads: int = Field(
        default=THREADS,
        description="Threads that read and hash for one CAR; the CAR doesn't depend on it.",
    )
