"""Projects: defining one, listing them, and how far one is."""

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.progress import RunningTask
from ptolemy_core.errors import UnknownProjectError
from ptolemy_core.project import (
    MAX_GIB,
    MIN_GIB,
    NAME_PATTERN,
    SETTINGS,
    Project,
    Setting,
    padding_warning,
    parse_project,
)
from ptolemy_core.status.rate import Progress, blitz_progress, task_progress
from ptolemy_core.status.state import ProjectState
from ptolemy_dagster.http.context import Context, Name, in_thread, opened
from ptolemy_dagster.http.paging import LINK, Limit, first_page, link_next
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.partitions import define, register
from ptolemy_dagster.roots import require_inside
from ptolemy_dagster.status import project_status

router = APIRouter(tags=["projects"])
Opened = Annotated[Context, Depends(opened)]

_LOCK_SECONDS = 10.0
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


class Work(BaseModel):
    """One task that is under way."""

    task: str = Field(description="scan, verify, or build with a container's number.")
    work: str = Field(description="scan, build, verify, root, manifest or delete-source.")
    container: int | None = Field(description="Of a build.")
    unit: Literal["bytes", "entries"]
    done: int
    total: int | None
    per_second: float | None
    seconds_left: float | None
    started_at: float = Field(description="Seconds since 1970.")
    updated_at: float


class BuildProgress(BaseModel):
    """How far the CARs of the plan are. Sizes are bytes, those of the total are exact."""

    planned: int
    built: int
    bytes_done: int
    bytes_total: int
    bytes_per_second: float | None = Field(description="null while nothing is built.")
    seconds_left: float | None


class InNoCar(BaseModel):
    """How many entries of the last scan are in no CAR, and won't be: `ptolemy skipped` names them."""

    unreadable: int = Field(description="Files and folders that the scan couldn't read.")
    special: int = Field(description="Named pipes, sockets and devices.")
    dropped: int = Field(
        description="Files that a build dropped, because they weren't what the scan had seen."
    )
    own: int = Field(description="Folders that Ptolemy made for itself; not in the total.")
    total: int


class ProjectStatus(BaseModel):
    """How far a project is."""

    settings: ProjectOut
    status: str = Field(examples=["executing blitz"])
    run_id: str | None = Field(description="The last run.")
    run_url: str | None
    scanned: bool
    unplanned: bool = Field(description="Whether the last scan found what no container holds yet.")
    empty: bool = Field(description="Whether the scans found nothing to store.")
    not_stored: InNoCar
    cars: BuildProgress
    tasks: list[Work]


@router.post(
    "/create/{project}",
    responses=documented(404, 409, 422),
    summary="Define a project",
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": _settings_schema()}}}
    },
)
async def create(project: Name, request: Request, context: Opened) -> ProjectOut:
    """Define a project. The same settings again change nothing and are answered the same; others are refused.

    Numbers may be text. Folders must be below the roots that the server was started with, if it was.
    """
    settings = _settings(await request.body())
    return await in_thread(context, _create, context, {**settings, "name": project})


def _settings(body: bytes) -> dict[str, Any]:
    try:
        settings = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Problem(400, "not-json", f"the body isn't JSON: {error}") from None
    if not isinstance(settings, dict):
        raise Problem(
            422, "bad-value", f"the body must be a JSON object of settings, got {str(settings)[:100]}"
        )
    if "name" in settings:
        raise Problem(422, "bad-value", "name is not a setting here: it is in the address, /v0/create/NAME")
    for key, value in settings.items():
        if any(0xD800 <= ord(c) <= 0xDFFF for text in (key, value) if isinstance(text, str) for c in text):
            raise Problem(422, "bad-value", f"{key!r}: {value!r} isn't UTF-8: use a path that is")
    return settings


def _create(context: Context, settings: dict[str, Any]) -> ProjectOut:
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
    return _described(project)


@router.get("/projects", responses=LINK | documented(422), summary="All projects")
def list_projects(
    request: Request,
    response: Response,
    context: Opened,
    limit: Limit = 1000,
    cursor: Annotated[
        str | None, Query(pattern=NAME_PATTERN, max_length=63, description="From the header Link.")
    ] = None,
) -> list[ProjectOut]:
    """Projects by name, with their settings."""
    page, more = first_page(projects.rows(context.catalog, after=cursor, limit=limit + 1), limit)
    if more:
        link_next(request, response, page[-1].name)
    return [_described(project) for project in page]


@router.get("/projects/{project}", responses=documented(404, 422), summary="Status of a project")
def get_project(project: Name, context: Opened) -> ProjectStatus:
    """How far a project is, what runs now, how fast, and how long it will take."""
    status = project_status(context.catalog, context.dagster.instance, project)
    state = status.state
    return ProjectStatus(
        settings=_described(projects.get(context.catalog, project)),
        status=status.text,
        run_id=status.run_id,
        run_url=context.dagster.run_url(status.run_id) if status.run_id else None,
        scanned=state.scanned,
        unplanned=state.unplanned,
        empty=state.is_empty,
        not_stored=InNoCar(**state.not_stored.as_text()),
        cars=_build_progress(state, blitz_progress(state)),
        tasks=[_work(task, task_progress(task)) for task in state.tasks],
    )


def _described(project: Project) -> ProjectOut:
    return ProjectOut(**project.model_dump(), warning=padding_warning(project.car_size))


def _build_progress(state: ProjectState, progress: Progress) -> BuildProgress:
    return BuildProgress(
        planned=state.containers,
        built=state.built,
        bytes_done=progress.done,
        bytes_total=state.car_bytes,
        bytes_per_second=progress.rate or None,
        seconds_left=progress.seconds_left,
    )


def _work(task: RunningTask, progress: Progress) -> Work:
    return Work(
        task=str(task.task),
        work=task.task.work,
        container=task.task.container,
        unit=task.task.work.unit,
        done=task.done,
        total=task.total,
        per_second=progress.rate or None,
        seconds_left=progress.seconds_left,
        started_at=task.started_at,
        updated_at=task.updated_at,
    )
