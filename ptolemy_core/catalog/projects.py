"""Projects in the catalog."""

import os
import time
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import project as table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.errors import ProjectExistsError, SettingsError, UnknownProjectError
from ptolemy_core.project import CHANGEABLE, Project, parse_project
from ptolemy_core.source import open_target

_BY_NAME = sa.select(table).where(table.c.name == sa.bindparam("wanted"))
_NAMED = 10
"""Projects that are named where the one asked for isn't there."""


def create(catalog: Catalog, project: Project) -> bool:
    """Define a project, and make its staging folder; False if it was defined so already.

    Raises:
        SettingsError: target_dir is no readable folder or URL, or staging_dir can't be written.
        ProjectExistsError: a project of this name has other settings.
    """
    prepare_folders(project)
    with catalog.write() as connection:
        row = connection.execute(sa.select(table).where(table.c.name == project.name)).mappings().first()
        if row is None:
            connection.execute(table.insert().values(**project.model_dump(), created_at=time.time()))
            return True
    new = project.model_dump()
    other = [f"{key} {row[key]!r}, not {value!r}" for key, value in new.items() if row[key] != value]
    if other:
        fixed = any(row[key] != value for key, value in new.items() if key not in CHANGEABLE)
        remedy = "use another name" if fixed else f"use `ptolemy set {project.name}` to change that"
        raise ProjectExistsError(
            f"project {project.name!r} already exists, with {'; '.join(other)}: {remedy}"
        )
    return False


def prepare_folders(project: Project) -> None:
    """See that a project's folders can be used, and make its staging folder.

    Raises:
        SettingsError: target_dir is no readable folder, or staging_dir can't be written.
    """
    open_target(project).require_usable()
    require_staging(project)


def require_staging(project: Project) -> None:
    """See that a project's CARs can be written, and make its staging folder.

    Raises:
        SettingsError: they can't.
    """
    if project.stages_to_store:
        from ptolemy_core.staging.store import StoreArea

        StoreArea(project.staging_dir, project.source_profile, project.local_dir).require_writable()
        return
    try:
        os.makedirs(project.staging_dir, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"staging_dir {project.staging_dir!r} can't be created ({error.strerror}): use a folder that you "
            "can write to"
        ) from error
    if not os.access(project.staging_dir, os.W_OK | os.X_OK):
        raise SettingsError(f"staging_dir {project.staging_dir!r} can't be written: change its permissions")


def change(catalog: Catalog, name: str, settings: dict[str, Any]) -> Project:
    """Change settings of a project; rules take effect with its next scan.

    Args:
        catalog: where the project is.
        name: the project's.
        settings: new values of some of CHANGEABLE.

    Raises:
        UnknownProjectError: no such project.
        SettingsError: one of them can't be changed, or can't have that value.
    """
    fixed = sorted(set(settings) - set(CHANGEABLE))
    if fixed:
        raise SettingsError(
            f"{', '.join(fixed)} of a project can't be changed, only {', '.join(CHANGEABLE)}: "
            "define another project"
        )
    new = parse_project(get(catalog, name).model_dump() | settings)
    if new.is_remote and "source_profile" in settings:
        open_target(new).require_usable()
    values = {key: getattr(new, key) for key in settings}
    if values:
        with catalog.write() as connection:
            connection.execute(table.update().where(table.c.name == name).values(values))
    return get(catalog, name)


@survives_outage
def get(catalog: Catalog, name: str) -> Project:
    """The project of that name.

    Raises:
        UnknownProjectError: there is none.
    """
    row = None
    if is_text(name):  # databases refuse to look for anything else
        with catalog.read() as connection:
            row = connection.execute(_BY_NAME, {"wanted": name}).mappings().first()
    if row is None:
        known = ", ".join(names(catalog, limit=_NAMED)) or "none yet"
        raise UnknownProjectError(f"no project {name!r}: create it first (projects: {known})")
    return of_row(row)


@survives_outage
def rows(catalog: Catalog, *, after: str | None = None, limit: int | None = None) -> list[Project]:
    """All projects by name; only those after the name `after`, and at most `limit`, where these are given."""
    query = sa.select(table).order_by(table.c.name).limit(limit)
    if after is not None:
        query = query.where(table.c.name > after)
    with catalog.read() as connection:
        return [of_row(row) for row in connection.execute(query).mappings()]


@survives_outage
def names(catalog: Catalog, *, after: str | None = None, limit: int | None = None) -> list[str]:
    """Names of all projects, sorted; as `rows`, only some of them."""
    query = sa.select(table.c.name)
    if after is not None:
        query = query.where(table.c.name > after)
    with catalog.read() as connection:
        if limit is None:
            return sorted(connection.scalars(query))
        return list(connection.scalars(query.order_by(table.c.name).limit(limit)))


def of_row(row: sa.RowMapping) -> Project:
    """The project of a row; its values were checked when they were written."""
    return Project.model_construct(**{key: row[key] for key in Project.model_fields})
