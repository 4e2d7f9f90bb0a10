"""Projects: define one, list all, and ask how far one is."""

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from ptolemy_core.catalog import projects
from ptolemy_core.facts.projects import RemovedFacts, StatusFacts
from ptolemy_core.padding import padding_warning
from ptolemy_core.project import Project
from ptolemy_core.setting_checks import MAX_GIB, MIN_GIB, NAME_PATTERN
from ptolemy_core.settings import CHANGEABLE, SETTINGS, Setting
from ptolemy_core.stages import change, remove
from ptolemy_core.stages.deal_settings import wallet_warning
from ptolemy_dagster import project_removal as removal
from ptolemy_dagster.http.bodies import described, json_object
from ptolemy_dagster.http.context import Context, Name, in_thread, opened
from ptolemy_dagster.http.defining import AloneError, create_alone
from ptolemy_dagster.http.paging import LINK, Limit, first_page, link_next
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.http.turns import InTurn, as_json
from ptolemy_dagster.http.waiting import Wait, once
from ptolemy_dagster.project_removal import rename_project
from ptolemy_dagster.roots import require_inside
from ptolemy_dagster.status import Status, statuses_of

router = APIRouter(tags=["projects"])
Opened = Annotated[Context, Depends(opened)]

_SIZES = ("shard_size", "car_size")
_EXAMPLE = {
    "shard_size": 1,
    "staging_dir": "/data/cars",
    "target_dir": "/data/photos",
    "car_size": 2,
    "encryption": "None",
    "load_type": "blitz",
}


def _settings_schema() -> dict[str, Any]:
    """JSON schema of a create's body: a project's settings without its name; sizes also as text."""
    schema = Project.model_json_schema()
    properties: dict[str, Any] = {k: v for k, v in schema["properties"].items() if k != "name"}
    for name in _SIZES:
        whole = {"type": "integer", "minimum": MIN_GIB, "maximum": MAX_GIB}
        text = {"type": "string", "pattern": "^([1-9]|[12][0-9]|3[01])$"}
        properties[name] = properties[name] | {"anyOf": [whole, text]}
        properties[name].pop("type", None)
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in schema["required"] if name != "name"],
        "additionalProperties": False,
        "example": _EXAMPLE,
    } | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _changes_schema() -> dict[str, Any]:
    """JSON schema of a change's body: the settings that may change, and the name."""
    schema = Project.model_json_schema()
    properties = {k: v for k, v in schema["properties"].items() if k == "name" or k in CHANGEABLE}
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "example": {"exclude": ["*.tmp"]},
    } | ({"$defs": schema["$defs"]} if "$defs" in schema else {})


def _declared(setting: Setting) -> Any:
    """A setting as a field that every answer has."""
    optional = not setting.required and setting.default is None
    return setting.type | None if optional else setting.type, Field(description=setting.description)


if TYPE_CHECKING:
    ProjectOut = BaseModel
else:
    ProjectOut = create_model(
        "ProjectOut",
        __config__=ConfigDict(extra="allow"),
        __doc__="A project's settings. Later versions may have more of them.",
        **{name: _declared(setting) for name, setting in SETTINGS.items()},
        warning=(str | None, Field(None, description="What to know of a car_size that needs much padding.")),
    )


class ListedProject(ProjectOut):
    """A project in the list of all of them: its settings, and how far it is."""

    project: str = Field(description="The project's name, as name.")
    status: str = Field(
        description="As ptolemy called it: defined, executing scan, completed scan, executing containerization, "
        "completed containerization; then executing blitz, blitz complete; failed ones as in blitz failed."
    )
    reason: str | None = Field(description="Why the last run failed; null: it didn't.")


class ProjectStatus(StatusFacts):
    """How far a project is, and its settings."""

    settings: ProjectOut
    run_url: str | None = Field(description="The last run's page in the web UI.")


_PTOLEMYS_WORDS = {
    "scan completed": "completed scan",
    "containerization complete": "completed containerization",
}
"""What scripts of ptolemy wait for in the list of projects, where it isn't what Ptolemy says."""


@router.post(
    "/create/{project}",
    response_model=ProjectOut,
    responses=documented(404, 409, 422),
    summary="Create a project",
    openapi_extra=described(_settings_schema()),
)
async def create(project: Name, request: Request, context: Opened, turns: InTurn) -> Response:
    """Create a project. Repeating it with the same settings changes nothing; other settings are refused.

    Numbers may be text. Folders must be below the roots that the server was started with, if it was.
    """
    settings = _settings(await request.body()) | {"name": project}
    try:
        created = await turns.creating.ask(settings)
    except AloneError:
        created = await in_thread(context, create_alone, context, settings)
    return as_json(_described(created, wallet_warning(created)))


def _settings(body: bytes, *, renames: bool = False) -> dict[str, Any]:
    settings = json_object(body)
    if "name" in settings and not renames:
        raise Problem(422, "bad-value", "name is not a setting here: it is in the address, /v0/create/NAME")
    for key, value in settings.items():
        if any(0xD800 <= ord(c) <= 0xDFFF for text in (key, value) if isinstance(text, str) for c in text):
            raise Problem(422, "bad-value", f"{key!r}: {value!r} isn't UTF-8: use a path that is")
    return settings


@router.get("/projects", responses=LINK | documented(422), summary="All projects")
def list_projects(
    request: Request,
    response: Response,
    context: Opened,
    limit: Limit = 1000,
    cursor: Annotated[
        str | None, Query(pattern=NAME_PATTERN, max_length=63, description="From the header Link.")
    ] = None,
) -> list[ListedProject]:
    """Projects by name, with their settings and status."""
    page, more = first_page(projects.names(context.catalog, after=cursor, limit=limit + 1), limit)
    if more:
        link_next(request, response, page[-1])
    found = statuses_of(context.catalog, context.dagster.runs, page)
    return [_listed(*found[name]) for name in page if name in found]


@router.get(
    "/projects/{project}",
    response_model=ProjectStatus,
    responses=documented(404, 422),
    summary="Status of a project",
)
async def get_project(
    project: Name,
    request: Request,
    context: Opened,
    turns: InTurn,
    wait: Wait = 0,
) -> Response:
    """How far a project is, what runs now, how fast, and how long it will take."""
    settings, status = await once(
        request, wait, partial(turns.statuses.ask, project), lambda found: not found[1].under_way
    )
    return status_answer(context, settings, status)


def status_answer(context: Context, settings: Project, status: Status) -> Response:
    """How far a project is, as an answer."""
    answer = ProjectStatus(
        **dict(status.facts()),
        settings=_described(settings),
        run_url=context.dagster.run_url(status.run_id) if status.run_id else None,
    )
    return as_json(answer)


@router.patch(
    "/projects/{project}",
    responses=documented(404, 409, 422),
    summary="Change a project",
    openapi_extra=described(_changes_schema()),
)
async def change_project(
    project: Name,
    request: Request,
    context: Opened,
    accept_loss: Annotated[
        bool, Query(description="Accept a new folder in which files or CARs of the project are missing.")
    ] = False,
) -> ProjectOut:
    """Change settings that may change, or the name, which goes alone.

    A new target_dir must hold the same files with the same times, a new staging_dir the project's CARs.
    """
    settings = _settings(await request.body(), renames=True)
    if len(settings) > 1 and settings.get("name", project) != project:
        detail = "a new name goes alone: change the other settings in another request"  # one may fail after the other
        raise Problem(422, "bad-value", detail)
    return await in_thread(context, _change, context, project, settings, accept_loss)


def _change(context: Context, name: str, settings: dict[str, Any], accept_loss: bool) -> ProjectOut:
    catalog, instance = context.catalog, context.dagster.instance
    new = settings.pop("name", name)
    require_inside(change.changed(catalog, name, settings), context.settings.roots)
    changed = change.change(catalog, name, settings, accept_loss=accept_loss)
    if new != name:
        changed = rename_project(catalog, instance, name, new)
    return _described(changed, wallet_warning(changed))


@router.delete("/projects/{project}", responses=documented(404, 409, 422), summary="Remove a project")
async def delete_project(
    project: Name,
    context: Opened,
    cars: Annotated[bool, Query(description="Also delete its CARs and manifests.")] = False,
    force: Annotated[
        bool, Query(description="Remove it even if only the catalog records which source files were deleted.")
    ] = False,
    dry_run: Annotated[bool, Query(description="Say what would be removed; remove nothing.")] = False,
) -> RemovedFacts:
    """Remove a project from the catalog and the web UI. Its CARs stay unless they are to go, its sources always."""

    def remove_it() -> RemovedFacts:
        require_inside(projects.get(context.catalog, project), context.settings.roots)
        if dry_run:
            return remove.look(context.catalog, project).facts(files=cars)
        instance = context.dagster.instance
        removed = removal.delete_project(context.catalog, instance, project, files=cars, force=force)
        return removed.facts(files=cars)

    return await in_thread(context, remove_it)


def _listed(project: Project, status: Status) -> ListedProject:
    return ListedProject(
        **dict(_described(project)),
        project=project.name,
        status=_PTOLEMYS_WORDS.get(status.text, status.text),
        reason=status.reason,
    )


def _described(project: Project, warning: str | None = None) -> ProjectOut:
    warnings = filter(None, (padding_warning(project.car_size), warning))
    return ProjectOut(**project.model_dump(), warning="; ".join(warnings) or None)
