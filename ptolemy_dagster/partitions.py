"""Partitions: a key per project, and a key per CAR, `delta|000003`."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import NotFoundError, PtolemyError, SettingsError, StageOrderError
from ptolemy_core.project import Project
from ptolemy_core.stages.project_keys import define_project, prepare_project
from ptolemy_dagster.roots import environment_roots, require_inside
from ptolemy_dagster.run_facts import PARTITION_TAG

project_partitions = dg.DynamicPartitionsDefinition(name="projects")
car_partitions = dg.DynamicPartitionsDefinition(name="cars")

_RANGE_TAG = "dagster/asset_partition_range_start"

_AT_ONCE = 5000
"""Keys in one statement: SQLite's own limit is 32,766 values."""


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
        raise StageOrderError(
            f"{key!r} isn't the key of a CAR: a key is a project and a number, such as delta|000003"
        )
    return project, int(number)


def require_partition(catalog: Catalog, instance: dg.DagsterInstance, tags: Mapping[str, str]) -> None:
    """See that a run with these tags has a project, or a CAR of one, before any of its steps.

    A project that only Dagster doesn't know is registered. Dagster itself starts a run with any key, and says of an
    unknown one in some steps that it is no range of partitions.

    Raises:
        UnknownProjectError, NotFoundError: there is no such project, or CAR.
        SettingsError: the run has no partition.
    """
    key = tags.get(PARTITION_TAG)
    if key is None:
        if _RANGE_TAG in tags:
            return
        raise SettingsError("this run has no project: launch it for a partition, which is a project's name")
    name = (car_partitions if "|" in key else project_partitions).name or ""
    if instance.has_dynamic_partition(name, key):
        return
    if "|" in key:
        projects.get(catalog, parse_car_key(key)[0])
        raise NotFoundError(f"no CAR {key!r} is planned: the partitions of the asset car are those that are")
    projects.get(catalog, key)
    register(instance, key)


def missing(instance: dg.DagsterInstance, projects: list[str]) -> dg.AddDynamicPartitionsRequest | None:
    """A request for the partitions of those projects that Dagster doesn't know yet, if there are any."""
    known = set(instance.get_dynamic_partitions(project_partitions.name or ""))
    new = [name for name in projects if name not in known]
    return project_partitions.build_add_request(new) if new else None


def register_cars(instance: dg.DagsterInstance, project: str, numbers: Iterable[int]) -> None:
    """Register the partitions of a project's CARs; those that are registered cost nothing."""
    name = car_partitions.name or ""
    known = set(instance.get_dynamic_partitions(name))
    new = [key for number in numbers if (key := car_key(project, number)) not in known]
    for low in range(0, len(new), _AT_ONCE):
        instance.add_dynamic_partitions(name, new[low : low + _AT_ONCE])


def unregister(instance: dg.DagsterInstance, project: str) -> None:
    """Take the partitions of a project and of its CARs away."""
    cars = car_partitions.name or ""
    prefix = f"{project}|"
    for key in instance.get_dynamic_partitions(cars):
        if key.startswith(prefix):
            instance.delete_dynamic_partition(cars, key)
    if project in instance.get_dynamic_partitions(project_partitions.name or ""):
        instance.delete_dynamic_partition(project_partitions.name or "", project)


def define(catalog: Catalog, instance: dg.DagsterInstance, project: Project) -> bool:
    """Create a project and register its partition; False if it was there already.

    Raises:
        SettingsError: as `projects.create`, or a folder is outside the environment's roots.
        EncryptionError: the key of an encrypted project isn't there.
    """
    require_inside(project, environment_roots())
    new = define_project(catalog, project)
    register(instance, project.name)
    return new


def prepare_plain(catalog: Catalog, new: Sequence[Project]) -> dict[str, PtolemyError]:
    """See that projects that aren't encrypted can be defined, and make their folders; errors by name."""
    errors: dict[str, PtolemyError] = {}
    roots = environment_roots()
    for project in new:
        try:
            require_inside(project, roots)
            prepare_project(catalog, project)
        except PtolemyError as error:
            errors[project.name] = error
    return errors


def define_plain(
    catalog: Catalog, instance: dg.DagsterInstance, ready: Sequence[Project]
) -> dict[str, PtolemyError]:
    """`define` projects of different names in one transaction, after `prepare_plain`.

    Returns:
        by name the errors of those that can't be defined; none of them keeps the others back.
    """
    outcomes = dict(zip((p.name for p in ready), projects.create_all(catalog, ready), strict=True))
    errors: dict[str, PtolemyError] = {
        name: found for name, found in outcomes.items() if isinstance(found, PtolemyError)
    }
    register_all(instance, [name for name in outcomes if name not in errors])
    return errors


def register(instance: dg.DagsterInstance, name: str) -> None:
    """Make a project's partition known to Dagster; a catalog may be older than a Dagster home."""
    register_all(instance, [name])


def register_all(instance: dg.DagsterInstance, names: Sequence[str]) -> None:
    """`register` several projects at once."""
    if names:
        instance.add_dynamic_partitions(project_partitions.name or "", names)
