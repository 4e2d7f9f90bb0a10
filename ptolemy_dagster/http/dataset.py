"""A project's data set: its root, its manifest, its CARs as files, and what of it is in no CAR."""

import itertools
import os
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from ptolemy_core.catalog import projects, roots, skipped
from ptolemy_core.catalog.text import is_text
from ptolemy_core.facts.cars import RootFacts
from ptolemy_core.facts.files import SkippedFacts
from ptolemy_core.facts.projects import ManifestFacts
from ptolemy_core.manifest import default_format
from ptolemy_core.stages.manifest import ManifestOptions, write_manifest
from ptolemy_dagster.http import downloads
from ptolemy_dagster.http.bodies import described, posted
from ptolemy_dagster.http.context import Context, Name, in_thread, opened
from ptolemy_dagster.http.launching import Launched, launch
from ptolemy_dagster.http.paging import LINK, Limit, first_page, link_next
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.roots import require_folder, require_inside

router = APIRouter(tags=["data set"])
Opened = Annotated[Context, Depends(opened)]
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"example": "the file"}}, "description": "The file."}
}


@router.get("/skipped/{project}", responses=LINK | documented(404, 422), summary="What is in no CAR")
def skipped_entries(
    project: Name,
    request: Request,
    response: Response,
    context: Opened,
    current: Annotated[bool, Query(description="Only what the last scan still saw like this.")] = True,
    limit: Limit = 1000,
    cursor: Annotated[int, Query(ge=0, le=10**9, description="From the header Link.")] = 0,
) -> list[SkippedFacts]:
    """Entries that a scan left out or a blitz dropped, each with its reason."""
    projects.get(context.catalog, project)
    rows = skipped.rows(context.catalog, project, current=current)
    page, more = first_page(list(itertools.islice(rows, cursor, cursor + limit + 1)), limit)
    if more:
        link_next(request, response, cursor + limit)
    return [SkippedFacts.of(row) for row in page]


@router.get("/root/{project}", responses=documented(404, 422), summary="The root of a data set")
def root(project: Name, context: Opened) -> RootFacts:
    """The root CID of the whole data set, and the CAR of its folder nodes."""
    projects.get(context.catalog, project)
    found = next(roots.rows(context.catalog, project), None)
    if found is None:
        raise Problem(404, "no-root", f"project {project!r} has no root yet: POST /v0/root/{project}")
    return RootFacts.of(found)


@router.post(
    "/root/{project}", status_code=202, responses=documented(404, 409, 422, 503), summary="Make the root"
)
async def make_root(project: Name, context: Opened) -> Launched:
    """Put the whole tree of a project together, above its CARs; all of them must be built."""
    return await in_thread(context, launch, context, "root", project)


class Restore(BaseModel):
    """What is restored, and where to."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"to": "/data/restored", "paths": ["2019"]}}
    )

    to: str = Field(description="Absolute path of the folder to write to.", min_length=1, max_length=4096)
    paths: list[str] = Field(
        [], description="Files and folders below target_dir; empty: everything.", max_length=1000
    )
    overwrite: bool = Field(False, description="Write over files and links that are there and differ.")


@router.post(
    "/restore/{project}",
    status_code=202,
    responses=documented(403, 404, 409, 422, 503),
    summary="Restore files",
    openapi_extra=described(Restore.model_json_schema()),
)
async def restore(
    project: Name, body: Annotated[Restore, Depends(posted(Restore))], context: Opened
) -> Launched:
    """Restore files of a project from its CARs into a folder of the server. Launch it again to resume."""
    projects.get(context.catalog, project)
    if not os.path.isabs(body.to) or "\0" in body.to or not is_text(body.to):
        raise Problem(422, "bad-value", f"to must be an absolute path, got {body.to[:200]!r}")
    require_folder(body.to, context.settings.roots)
    config = {"ops": {"restore_files": {"config": body.model_dump()}}}
    return await in_thread(context, launch, context, "restore", project, config)


@router.head("/manifest/{project}", include_in_schema=False)
@router.get(
    "/manifest/{project}",
    response_class=FileResponse,
    responses=_FILE | documented(404, 422),
    summary="The manifest",
)
def manifest(project: Name, context: Opened) -> FileResponse:
    """The newest manifest as a file: which bytes of which CAR hold each file."""
    return downloads.manifest(context, project)


@router.head("/manifest/{project}/summary", include_in_schema=False)
@router.get(
    "/manifest/{project}/summary",
    response_class=FileResponse,
    responses=_FILE | documented(404, 422),
    summary="The summary of the manifest",
)
def manifest_summary(project: Name, context: Opened) -> FileResponse:
    """The summary of the newest manifest: all CARs with their CIDs, as JSON."""
    return downloads.summary(context, project)


@router.post("/manifest/{project}", responses=documented(404, 409, 422), summary="Write the manifest")
async def make_manifest(
    project: Name,
    context: Opened,
    form: Annotated[
        str | None,
        Query(
            alias="format",
            description="parquet, csv or jsonl; default: parquet if PyArrow is installed, otherwise csv.",
            examples=["csv"],
        ),
    ] = None,
    url: Annotated[
        str | None, Query(description="Where CARs can be fetched: https://example.com/{piece_cid}.car")
    ] = None,
) -> ManifestFacts:
    """Write the manifest of all built CARs into the staging folder; answered when it is there."""

    def write() -> ManifestFacts:
        require_inside(projects.get(context.catalog, project), context.settings.roots)
        written = write_manifest(context.catalog, project, ManifestOptions(form or default_format(), url=url))
        return ManifestFacts(**asdict(written))

    return await in_thread(context, write)


@router.head("/car/{project}/{number}", include_in_schema=False)
@router.get(
    "/car/{project}/{number}",
    response_class=FileResponse,
    responses=_FILE | documented(404, 422),
    summary="A CAR as a file",
)
def car(project: Name, number: str, context: Opened, request: Request) -> Response:
    """A CAR, staged or generated, by its container's number; `root` is the CAR of the data set's root."""
    return downloads.car(context, project, number, request)
