"""Projects that are created at the same time: written in one transaction, registered in one call."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.outage import is_away
from ptolemy_core.errors import PtolemyError, UnknownProjectError
from ptolemy_core.project import Project, parse_project
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.partitions import define, define_plain, prepare_plain, register, register_all
from ptolemy_dagster.roots import require_inside

MOST = 100
"""Projects in one transaction."""

_LOCK_SECONDS = 10.0
_WRITING = threading.Lock()
"""One write after the other: who waits for SQLite's own lock sleeps longer than the write takes."""


class AloneError(Exception):
    """A project that is created by itself: what it needs may take long, or something failed for several."""


def create_together(context: Context, given: Sequence[dict[str, Any]]) -> list[Project | Exception]:
    """Create projects with these settings, whose name is one of them; one that is defined already is no error.

    Returns:
        for each the project, or why it isn't created; AloneError: call `create_alone`.
    """
    answers: list[Project | Exception] = [_checked(context, settings) for settings in given]
    named: dict[str, int] = {}
    for place, found in enumerate(answers):
        if isinstance(found, Project):
            if found.name in named:
                answers[place] = AloneError()
            named.setdefault(found.name, place)
    wanted = [found for found in answers if isinstance(found, Project)]
    if not wanted:
        return answers
    errors: Mapping[str, Exception]
    try:
        errors = _define(context, wanted)
    except Exception as error:
        shared = error if is_away(error) else AloneError()
        errors = {project.name: shared for project in wanted}
    for name, why in errors.items():
        answers[named[name]] = why
    return answers


def create_alone(context: Context, settings: dict[str, Any]) -> Project:
    """Create a project with these settings; one that is defined already is no error.

    Raises:
        SettingsError, ProjectExistsError, EncryptionError: it can't be created.
    """
    catalog, instance = context.catalog, context.dagster.instance
    project = parse_project(settings)
    require_inside(project, context.settings.roots)
    with catalog.lock(f"create {project.name}", wait=_LOCK_SECONDS):
        try:
            same = projects.get(catalog, project.name).model_dump() == project.model_dump()
        except UnknownProjectError:
            same = False
        if same:  # its folders may be away now, that changes nothing
            register(instance, project.name)
        else:
            define(catalog, instance, project)
    return project


def _checked(context: Context, settings: dict[str, Any]) -> Project | Exception:
    try:
        project = parse_project(settings)
        require_inside(project, context.settings.roots)
    except PtolemyError as error:
        return error
    is_quick = not (project.is_encrypted or project.is_remote or project.stages_to_store)
    return project if is_quick else AloneError()


def _define(context: Context, wanted: Sequence[Project]) -> Mapping[str, Exception]:
    """Define projects and register their partitions; the errors of those that can't be, by name."""
    catalog, instance = context.catalog, context.dagster.instance
    known = projects.get_all(catalog, [project.name for project in wanted])
    same = [one for one in wanted if one.name in known and known[one.name].model_dump() == one.model_dump()]
    new = [one for one in wanted if one not in same]
    errors = prepare_plain(catalog, new)
    ready = [one for one in new if one.name not in errors]
    with _WRITING:
        if ready:
            errors |= define_plain(catalog, instance, ready)
        register_all(instance, [one.name for one in same])
    return errors
