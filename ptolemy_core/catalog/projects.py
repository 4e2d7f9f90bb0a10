"""Projects in the catalog."""

import os
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import project as table
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.errors import ProjectExistsError, SettingsError, UnknownProjectError
from ptolemy_core.project import Project, parse_project
from ptolemy_core.settings import CHANGEABLE
from ptolemy_core.source import open_target

_BY_NAME = sa.select(table).where(table.c.name == sa.bindparam("wanted"))
_BY_NAMES = sa.select(table).where(table.c.name.in_(sa.bindparam("wanted", expanding=True)))
_NAMED = 10
"""Projects that are named where the one asked for isn't there."""


def create(catalog: Catalog, project: Project) -> bool:
    """Define a project, and make its staging folder; False if it was defined so already.

    Raises:
        SettingsError: target_dir is no readable folder or URL, or staging_dir can't be written.
        ProjectExistsError: a project of this name has other settings.
    """
    prepare_folders(project)
    (outcome,) = create_all(catalog, [project])
    if isinstance(outcome, ProjectExistsError):
        raise outcome
    return outcome


def create_all(catalog: Catalog, new: Sequence[Project]) -> list[bool | ProjectExistsError]:
    """Define projects of different names in one transaction; their folders are ready.

    Returns:
        for each whether it is new, or why it can't be defined: one of its name has other settings.
    """
    named = {"wanted": [project.name for project in new]}
    now = time.time()
    with catalog.write() as connection:
        rows = {row["name"]: row for row in connection.execute(_BY_NAMES, named).mappings()}
        missing = [project.model_dump() for project in new if project.name not in rows]
        if missing:
            connection.execute(_insert(catalog), [values | {"created_at": now} for values in missing])
        if missing and catalog.is_postgres:  # another one may have been faster; SQLite has one writer
            rows = {row["name"]: row for row in connection.execute(_BY_NAMES, named).mappings()}
    return [_outcome(project, rows.get(project.name), now) for project in new]


def _insert(catalog: Catalog) -> Any:
    """Insert what nobody else has inserted meanwhile."""
    if not catalog.is_postgres:
        return table.insert()
    from sqlalchemy.dialects import postgresql  # others need not import it

    return postgresql.insert(table).on_conflict_do_nothing(index_elements=[table.c.name])


def _outcome(project: Project, row: sa.RowMapping | None, now: float) -> bool | ProjectExistsError:
    """Whether a project is new, given the row of its name (None: there was none), or why it can't be defined."""
    if row is None or row["created_at"] == now:
        return True
    new = project.model_dump()
    other = [f"{key} {row[key]!r}, not {value!r}" for key, value in new.items() if row[key] != value]
    if not other:
        return False
    fixed = any(row[key] != value for key, value in new.items() if key not in CHANGEABLE)
    remedy = "use another name" if fixed else f"use `ptolemy set {project.name}` to change that"
    return ProjectExistsError(f"project {project.name!r} already exists, with {'; '.join(other)}: {remedy}")


def get_all(catalog: Catalog, names: Sequence[str]) -> dict[str, Project]:
    """The projects of these names, those that there are."""
    with catalog.read() as connection:
        found = connection.execute(_BY_NAMES, {"wanted": list(names)}).mappings()
        return {row["name"]: of_row(row) for row in found}


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


def hold(connection: Connection, name: str) -> None:
    """Keep a project from being removed or renamed until the connection's transaction ends.

    For rows without a foreign key to it: files, where the database's own check costs more than the rows. Whoever
    removes or renames a project calls `claim` before anything else.

    Raises:
        UnknownProjectError: it is gone already.
    """
    _lock(connection, name, key_share=True)


def claim(connection: Connection, name: str) -> None:
    """Wait for all that hold a project, and let nobody hold it until the connection's transaction ends.

    Raises:
        UnknownProjectError: it is gone already.
    """
    _lock(connection, name)


def _lock(connection: Connection, name: str, *, key_share: bool = False) -> None:
    """Lock a project's row: SQLite's transactions that write exclude each other anyway."""
    query = sa.select(table.c.name).where(table.c.name == name)
    locked = query.with_for_update(read=key_share, key_share=key_share)
    if connection.scalar(locked) is None:
        raise UnknownProjectError(f"project {name!r} was removed or renamed meanwhile: nothing was recorded")


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
