"""A project with a tree, a staging folder and a catalog of its own for each test."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ptolemy_core.car.options import BuildOptions
from ptolemy_core.catalog import Catalog, cars, projects, scans
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.schema import file
from ptolemy_core.dag.profile import Profile
from ptolemy_core.project import Project, parse_project
from ptolemy_core.stages.blitz import Building, build_container, pending, seal
from ptolemy_core.stages.containerize import PlanResult, containerize
from ptolemy_core.stages.scan import ScanResult, scan
from ptolemy_core.stages.verify import Verdict, Verifying, verify
from tests.car import scene
from tests.dag import oracle
from tests.pipeline.fixtures import postgres

__all__ = [
    "PROFILE",
    "Crash",
    "Scene",
    "catalog_url",
    "crash_in_record",
    "make",
    "postgres",
    "small_batches",
    "stage",
]

PROFILE = Profile(chunk=512, width=2, hamt_threshold=400)
"""1 "GiB" is 1024 bytes here."""

BUILDING = Building(BuildOptions(unit=1016), PROFILE)


@dataclass
class Scene:
    """A project's folders, and its stages under the shrunk profile."""

    catalog: Catalog
    project: Project

    @property
    def name(self) -> str:
        return self.project.name

    @property
    def target(self) -> Path:
        return Path(self.project.target_dir)

    @property
    def staging(self) -> Path:
        return Path(self.project.staging_dir)

    def put(self, content: oracle.Content) -> None:
        """Add entries to the target folder."""
        scene.write_tree(self.target, content)

    def scan(self, **options: Any) -> ScanResult:
        return scan(self.catalog, self.name, **options)

    def plan(self, **options: Any) -> PlanResult:
        return containerize(self.catalog, self.name, profile=PROFILE, **options)

    def build(self, number: int, **how: Any) -> tuple[CarRow, bool]:
        return build_container(self.catalog, self.name, number, replace(BUILDING, **how))

    def blitz(self) -> list[CarRow]:
        for row in pending(self.catalog, self.name):
            self.build(row.number)
        return self.seal()

    def seal(self) -> list[CarRow]:
        return seal(self.catalog, self.name, PROFILE)

    def run(self, content: oracle.Content) -> list[CarRow]:
        """All stages over this content."""
        self.put(content)
        self.scan()
        self.plan()
        return self.blitz()

    def verify(self, **options: Any) -> list[Verdict]:
        own = {key: options.pop(key) for key in ("number", "progress") if key in options}
        return list(verify(self.catalog, self.name, Verifying(profile=PROFILE, **options), **own))

    def problems(self) -> list[str]:
        return [problem for verdict in self.verify() for problem in verdict.problems]

    def cars(self) -> list[CarRow]:
        return list(cars.rows(self.catalog, self.name))

    def in_staging(self) -> list[str]:
        return sorted(os.listdir(self.staging))

    def files(self, live: bool = True) -> list[Any]:
        """The catalog's file rows, by path and version."""
        query = sa.select(file).where(file.c.project == self.name).order_by(file.c.path, file.c.id)
        if live:
            query = query.where(file.c.gone_scan.is_(None))
        with self.catalog.read() as connection:
            return list(connection.execute(query).all())


def small_batches(patch: pytest.MonkeyPatch, rows: int) -> None:
    """Read, keep and write a scan's rows in small parts, so that few of them are many."""
    patch.setattr("ptolemy_core.catalog.scans.PAGE", rows)
    patch.setattr("ptolemy_core.stages.merge.BATCH", rows)
    patch.setattr("ptolemy_core.stages.spill.IN_MEMORY", 3 * rows)
    patch.setattr("ptolemy_core.stages.scan._AT_ONCE", 2 * rows)


def crash_in_record(patch: pytest.MonkeyPatch, writes: int) -> None:
    """Break scans off when so many parts of what they found are written."""
    real, left = scans.write, writes

    def write(*arguments: Any) -> int:
        nonlocal left
        if not left:
            raise Crash
        left -= 1
        return real(*arguments)

    patch.setattr(scans, "write", write)


class Crash(Exception):
    """What no code expects."""


@pytest.fixture(params=["sqlite"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres").database()
        return url
    return f"sqlite:///{tmp_path}/home/catalog.db"


@pytest.fixture
def make(catalog_url: str, tmp_path: Path) -> Any:
    """Makes a scene of a project with these settings."""
    catalog = Catalog(catalog_url)

    def make(name: str = "p", shard_size: int = 1, car_size: int = 4, **more: Any) -> Scene:
        target = tmp_path / name / "target"
        target.mkdir(parents=True)
        settings = {"name": name, "target_dir": str(target), "staging_dir": str(tmp_path / name / "staging")}
        more = {"car_sha256": True} | more  # so that tests see whether two CARs are the same bytes
        project = parse_project(settings | {"shard_size": shard_size, "car_size": car_size} | more)
        projects.create(catalog, project)
        return Scene(catalog, project)

    return make


@pytest.fixture
def stage(make: Any) -> Scene:
    scene: Scene = make()
    return scene
