"""The addresses of our own pages, as an application that answers GET and HEAD alone."""

import itertools
import time
from typing import Annotated
from urllib.parse import quote

import dagster as dg
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from ptolemy_core.catalog import Catalog, cars, containers, deal_counts, projects, roots, skipped
from ptolemy_core.errors import StagingError
from ptolemy_core.project import Project
from ptolemy_core.setting_checks import NAME_PATTERN
from ptolemy_core.stages.manifest import written_manifest
from ptolemy_core.stages.replication import Replication, replication
from ptolemy_core.staging.area import area_of
from ptolemy_core.status.builds import last_build_period
from ptolemy_dagster.http import downloads, problems
from ptolemy_dagster.http.context import Context, Name, opened
from ptolemy_dagster.http.pages.overview import Line, overview
from ptolemy_dagster.http.pages.project import RunLine, Shown, project_page
from ptolemy_dagster.http.pages.refused import refused
from ptolemy_dagster.http.paging import first_page
from ptolemy_dagster.run_facts import PARTITION_TAG, stage_name
from ptolemy_dagster.status import project_status, statuses_of

Opened = Annotated[Context, Depends(opened)]
Refresh = Annotated[int, Query(ge=0, le=3600)]

_PROJECTS = 100
_CARS = 100
_SKIPPED = 100
_RUNS = 10

router = APIRouter()


def pages(context: Context) -> FastAPI:
    """The pages as an application."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.context = context
    problems.install(app, lambda problem: refused(problem, context.dagster.ui_url))
    app.include_router(router)
    return app


def is_page(path: str) -> bool:
    """Whether an address is one of these pages."""
    return path in ("/", "/projects") or path.startswith("/projects/")


@router.get("/", response_class=HTMLResponse)
@router.get("/projects", response_class=HTMLResponse)
def all_projects(
    context: Opened,
    refresh: Refresh = 0,
    after: Annotated[str | None, Query(pattern=NAME_PATTERN, max_length=63)] = None,
) -> str:
    """All projects."""
    rows = projects.rows(context.catalog, after=after, limit=_PROJECTS + 1)
    chosen, more = first_page(rows, _PROJECTS)
    names = [one.name for one in chosen]
    statuses = statuses_of(context.catalog, context.dagster.runs, names)
    found = [Line(one, _replicas(context.catalog, project)) for project, one in statuses.values()]
    following = f"/?after={quote(chosen[-1].name)}" if more else None
    return overview(found, following, context.dagster.ui_url, refresh)


@router.get("/projects/{project}", response_class=HTMLResponse)
def one_project(
    project: Name,
    context: Opened,
    refresh: Refresh = 0,
    after: Annotated[int, Query(ge=-1, le=10**9)] = -1,
) -> str:
    """One project."""
    return project_page(_shown(context, project, after), context.dagster.ui_url, refresh)


def _shown(context: Context, name: str, after: int) -> Shown:
    catalog = context.catalog
    settings = projects.get(catalog, name)
    chosen, more = first_page(list(cars.rows(catalog, name, after=after, limit=_CARS + 1)), _CARS)
    return Shown(
        status=project_status(catalog, context.dagster.instance, name),
        settings=settings,
        cars=chosen,
        following=f"/projects/{quote(name)}?after={chosen[-1].number}#cars" if more else None,
        sizes=_sizes(catalog, name),
        root=next(roots.rows(catalog, name), None),
        plan=containers.rows(catalog, name),
        period=last_build_period(list(cars.rows(catalog, name))),
        skipped=list(itertools.islice(skipped.rows(catalog, name, current=True), _SKIPPED)),
        manifest=written_manifest(settings) is not None,
        replicas=_replicas(catalog, settings),
        deals=deal_counts.counts(catalog, name),
        runs=_runs(context.dagster.instance, name),
    )


def _replicas(catalog: Catalog, project: Project) -> Replication | None:
    return replication(catalog, project.name) if project.replicas else None


def _sizes(catalog: Catalog, name: str) -> dict[str, int] | None:
    try:
        area = area_of(projects.get(catalog, name))
        return area.sizes() | area.outlines(name)
    except StagingError:
        return None


def _runs(instance: dg.DagsterInstance, name: str) -> list[RunLine]:
    found = instance.get_run_records(dg.RunsFilter(tags={PARTITION_TAG: name}), limit=_RUNS)
    return [
        RunLine(
            one.dagster_run.run_id,
            stage_name(one.dagster_run.job_name),
            one.dagster_run.status.value.lower(),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.create_timestamp.timestamp())),
            one.dagster_run.tags.get("progress", ""),
        )
        for one in found
    ]


@router.api_route("/projects/{project}/manifest", methods=["GET", "HEAD"])
def manifest(project: Name, context: Opened) -> FileResponse:
    """The newest manifest."""
    return downloads.manifest(context, project)


@router.api_route("/projects/{project}/summary", methods=["GET", "HEAD"])
def summary(project: Name, context: Opened) -> FileResponse:
    """The summary of its CARs."""
    return downloads.summary(context, project)


@router.api_route("/projects/{project}/cars/{number}", methods=["GET", "HEAD"])
def car(project: Name, number: str, context: Opened, request: Request) -> Response:
    """A CAR that is in its staging folder, or generated."""
    return downloads.car(context, project, number, request)
