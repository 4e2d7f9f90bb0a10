"""Removing and renaming a project, in the catalog and in Dagster: for the command line and the HTTP API."""

import dagster as dg

from ptolemy_core.catalog import Catalog, cars, projects
from ptolemy_core.errors import BusyError
from ptolemy_core.project import Project
from ptolemy_core.stages import remove
from ptolemy_core.stages.remove import Removal
from ptolemy_dagster import show
from ptolemy_dagster.partitions import car_key, register, register_cars, unregister
from ptolemy_dagster.run_facts import stage_name
from ptolemy_dagster.status import live_run


def delete_project(
    catalog: Catalog, instance: dg.DagsterInstance, name: str, *, files: bool = False, force: bool = False
) -> Removal:
    """Remove a project and its partitions. Runs stay in Dagster's history.

    Raises:
        UnknownProjectError, BusyError, DeletionError: as `stages.remove.delete`; a run of it is under way.
    """
    projects.get(catalog, name)
    _require_no_run(catalog, instance, name)
    removed = remove.delete(catalog, name, files=files, force=force)
    unregister(instance, name)
    return removed


def rename_project(catalog: Catalog, instance: dg.DagsterInstance, old: str, new: str) -> Project:
    """Give a project another name, and its partitions: the new ones are shown as materialized.

    Raises:
        UnknownProjectError, BusyError, SettingsError: as `stages.remove.rename`; a run of it is under way.
    """
    projects.get(catalog, old)
    _require_no_run(catalog, instance, old)
    renamed = remove.rename(catalog, old, new)
    if old == new:
        return renamed
    before = _materialized(instance, old)
    register(instance, new)
    for asset in before:
        _tell(instance, asset, new, {"renamed from": old})
    rows = list(cars.rows(catalog, new))
    register_cars(instance, new, [row.number for row in rows])
    for row in rows:
        _tell(instance, "car", car_key(new, row.number), dict(show.car_metadata(row)))
    unregister(instance, old)
    return renamed


def _materialized(instance: dg.DagsterInstance, project: str) -> list[str]:
    """Assets that have this partition."""
    names = ("scan_result", "container_plan", "built_cars", "dataset_root", "manifest")
    return [name for name in names if project in instance.get_materialized_partitions(dg.AssetKey(name))]


def _tell(instance: dg.DagsterInstance, asset: str, partition: str, metadata: dict[str, object]) -> None:
    made = dg.AssetMaterialization(asset, partition=partition, metadata=metadata)  # type: ignore[arg-type]
    instance.report_runless_asset_event(made)


def _require_no_run(catalog: Catalog, instance: dg.DagsterInstance, name: str) -> None:
    run = live_run(catalog, instance, name)
    if run is not None:
        raise BusyError(
            f"{stage_name(run.job_name)} of project {name!r} is under way (run {run.run_id}): wait for it, "
            "or cancel it"
        )
