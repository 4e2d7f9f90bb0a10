"""Partitions: a key per project, and a key per CAR, `delta|000003`."""

import dagster as dg

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import StageOrderError
from ptolemy_core.project import Project

project_partitions = dg.DynamicPartitionsDefinition(name="projects")
car_partitions = dg.DynamicPartitionsDefinition(name="cars")


def car_key(project: str, number: int) -> str:
    """The partition key of a container's CAR."""
    return f"{project}|{number:06d}"


def parse_car_key(key: str) -> tuple[str, int]:
    """Project and container number of a CAR's partition key.

    Raises:
        StageOrderError: it isn't such a key.
    """
    project, found, number = key.partition("|")
    if not found or not number.isdecimal():
        raise StageOrderError(f"{key!r} names no CAR: a key is a project and a number, as delta|000003")
    return project, int(number)


def define(catalog: Catalog, instance: dg.DagsterInstance, project: Project) -> bool:
    """Create a project and register its partition; False if it was there already.

    Raises:
        SettingsError: as `projects.create`.
    """
    new = projects.create(catalog, project)
    register(instance, project.name)
    return new


def register(instance: dg.DagsterInstance, name: str) -> None:
    """Make a project's partition known to Dagster; a catalog may be older than a Dagster home."""
    instance.add_dynamic_partitions(project_partitions.name or "", [name])
