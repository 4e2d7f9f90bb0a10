"""The job `restore`: files of a project out of its CARs into a folder, as a run like any other."""

import os

import dagster as dg
from pydantic import Field

from ptolemy_core.catalog import Catalog, projects
from ptolemy_core.errors import SettingsError
from ptolemy_core.sizes import counted, readable
from ptolemy_core.tree import paths
from ptolemy_dagster.failures import as_failure
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.plain_config import plain
from ptolemy_dagster.resources import CatalogResource
from ptolemy_dagster.roots import environment_roots, require_folder

_SHOWN = 20


class RestoreSettings(dg.Config):
    """What is restored, and where to."""

    to: str = Field(description="Absolute path of the folder to write to; made if it isn't there.")
    paths: list[str] = Field(
        default=[], description="Files and folders below target_dir; default: everything."
    )
    overwrite: bool = Field(
        default=False, description="Write over files and links that are there and differ."
    )


@dg.op(
    description="Restores files of a project from its CARs; run again, it resumes.",
    config_schema=plain(RestoreSettings),
)
def restore_files(context: dg.OpExecutionContext, catalog: CatalogResource) -> None:
    """Restore into the folder that the configuration names."""
    settings = RestoreSettings(**context.op_config)
    with as_failure():
        opened = catalog.open_for(context.partition_key)
        said = restore(opened, context.partition_key, settings)
    context.log.info(said)
    context.add_output_metadata({"restored": said, "folder": dg.MetadataValue.path(settings.to)})


def restore(catalog: Catalog, name: str, settings: RestoreSettings) -> str:
    """Restore a project, or paths of it; what was done, in words.

    Raises:
        SettingsError: the folder isn't an absolute path, or is outside the roots.
        RestoreError: a CAR is missing, or something couldn't be restored.
    """
    from ptolemy_core.catalog.views import Entries, View  # other jobs' runs need none of it
    from ptolemy_core.restore.project import RestoreError, Writing, load, work

    if not os.path.isabs(settings.to):
        raise SettingsError(f"to must be an absolute path, got {settings.to!r}")
    require_folder(settings.to, environment_roots())
    projects.get(catalog, name)
    view = View(name, None, tuple(paths.from_display(text) for text in settings.paths))
    job = load(catalog, view)
    if job.needs.missing:
        lost = ", ".join(f"{one.car.file_name} ({one.reason})" for one in job.needs.missing[:_SHOWN])
        raise RestoreError(f"{counted(len(job.needs.missing), 'CAR')} missing: {lost}")
    threads = os.cpu_count() or 1
    report = work(
        job, Entries(catalog, view), os.fsencode(settings.to), Writing(settings.overwrite, True, threads)
    )
    if not report.ok:
        raise RestoreError("\n".join(f"{path}: {why}" for path, why in report.problems[:_SHOWN]))
    return (
        f"{counted(report.files, 'file')} ({readable(report.written_bytes)}), {counted(report.links, 'link')} and "
        f"{counted(report.folders, 'folder')} written to {settings.to}, "
        f"{counted(report.kept, 'entry', 'entries')} kept"
    )


@dg.job(
    name="restore",
    partitions_def=project_partitions,
    description="Restore files of a project from its CARs into a folder.",
    executor_def=dg.in_process_executor,
)
def restore_job() -> None:
    """Restore a project."""
    restore_files()
