"""Projects in the catalog."""

import os
import time

import sqlalchemy as sa

from ptolemy_core.catalog.schema import project as table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import ProjectExistsError, SettingsError, UnknownProjectError
from ptolemy_core.project import Project


def create(catalog: Catalog, project: Project) -> bool:
    """Define a project, and make its staging folder; False if it was defined so already.

    Raises:
        SettingsError: target_dir is no readable folder, or staging_dir can't be written.
        ProjectExistsError: a project of this name has other settings.
    """
    if not os.path.isdir(project.target_dir):
        raise SettingsError(f"target_dir {project.target_dir!r} is no folder: check the path, or mount it")
    if not os.access(project.target_dir, os.R_OK | os.X_OK):
        raise SettingsError(f"target_dir {project.target_dir!r} can't be read: change its permissions")
    try:
        os.makedirs(project.staging_dir, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"staging_dir {project.staging_dir!r} can't be made ({error.strerror}): use a folder that you may write"
        ) from error
    if not os.access(project.staging_dir, os.W_OK | os.X_OK):
        raise SettingsError(f"staging_dir {project.staging_dir!r} can't be written: change its permissions")
    with catalog.write() as connection:
        row = connection.execute(sa.select(table).where(table.c.name == project.name)).mappings().first()
        if row is None:
            connection.execute(table.insert().values(**project.model_dump(), created_at=time.time()))
            return True
    new = project.model_dump()
    other = [f"{key} {row[key]!r}, not {value!r}" for key, value in new.items() if row[key] != value]
    if other:
        raise ProjectExistsError(
            f"project {project.name!r} is defined already, with {'; '.join(other)}: use another name"
        )
    return False


def get(catalog: Catalog, name: str) -> Project:
    """The project of that name.

    Raises:
        UnknownProjectError: there is none.
    """
    with catalog.read() as connection:
        row = connection.execute(sa.select(table).where(table.c.name == name)).mappings().first()
    if row is None:
        known = ", ".join(names(catalog)[:10]) or "none yet"
        raise UnknownProjectError(f"no project {name!r}: create it first (projects: {known})")
    return Project.model_construct(**{key: row[key] for key in Project.model_fields})


def names(catalog: Catalog) -> list[str]:
    """Names of all projects, sorted."""
    with catalog.read() as connection:
        return sorted(connection.scalars(sa.select(table.c.name)))
