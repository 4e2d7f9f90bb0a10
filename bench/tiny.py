"""Ptolemy with containers of a kilobyte, which no setting offers: what is left is Dagster's cost.

With BENCH_EVENTS_ONLY nothing is built at all: CARs have receipts before the run, which takes them as built by it.
"""

import os
from types import SimpleNamespace

from bench.orchestration import EVENTS_ONLY
from ptolemy_core.catalog import Catalog, cars, containers
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.dag.profile import UNIXFS_V1_2025, Profile
from ptolemy_core.project import Project
from ptolemy_core.stages import batch, blitz

FILE_BYTES = 1000


def _tiny(self: Project, profile: Profile = UNIXFS_V1_2025) -> int:
    return FILE_BYTES + FILE_BYTES // 10


Project.car_bytes = _tiny  # type: ignore[method-assign]

from ptolemy_dagster.assets import cars as assets  # noqa: E402
from ptolemy_dagster.definitions import defs  # noqa: E402

__all__ = ["FILE_BYTES", "defs"]

_receipts: dict[int, CarRow] = {}


def _all(catalog: Catalog, name: str) -> list[ContainerRow]:
    return containers.rows(catalog, name)


def _built(catalog: Catalog, name: str, number: int, _: object) -> tuple[CarRow, bool]:
    if not _receipts:
        _receipts.update((row.number, row) for row in cars.rows(catalog, name))
    return _receipts[number], True


if os.environ.get(EVENTS_ONLY):
    assets.blitz = SimpleNamespace(**vars(blitz) | {"pending": _all})  # type: ignore[assignment]
    batch.build_container = _built  # type: ignore[assignment]
