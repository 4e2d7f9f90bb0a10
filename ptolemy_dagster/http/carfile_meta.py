"""CARs and the plan that they are built from."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from ptolemy_core.catalog import cars, containers, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.dag import cid
from ptolemy_dagster.http.context import Context, Name, opened
from ptolemy_dagster.http.paging import LINK, Limit, NumberCursor, first_page, link_next
from ptolemy_dagster.http.problems import Problem, documented

router = APIRouter(tags=["CARs"])
Opened = Annotated[Context, Depends(opened)]
Number = Annotated[int, InPath(ge=0, le=10**9, description="The container's number.", examples=[0])]


class CarMeta(BaseModel):
    """A built CAR, as a deal needs it. Sizes are bytes."""

    number: int = Field(description="Of its container within the project, from 0.")
    payload_cid: str = Field(description="Root of the CAR, bafy… or bafk….")
    commp: str = Field(description="Piece CID v1, baga6ea4seaq….")
    piece_cid_v2: str = Field(description="Piece CID v2 (FRC-0069), bafkzcib….")
    size: int = Field(description="Of the CAR file.")
    padded_size: int = Field(description="Of the piece: a power of two.")
    data_bytes: int = Field(description="Of the files in it.")
    items: int = Field(description="Files, shards, links and empty folders in it.")
    file_name: str = Field(description="In staging_dir.")
    sha256: str | None = Field(description="Of the CAR file, hex; null if the project's car_sha256 is off.")
    built_at: float = Field(description="Seconds since 1970.")
    build_seconds: float


class PlannedCar(BaseModel):
    """A container of the plan. Sizes are bytes, and exact."""

    number: int
    items: int
    data_bytes: int
    size: int = Field(description="Of the CAR file.")
    padded_size: int = Field(description="Of the piece.")
    padding: int = Field(description="Bytes of the piece that hold no CAR.")
    built: bool


@router.get("/carfile_meta/{project}", responses=LINK | documented(404, 422), summary="CARs of a project")
def carfile_meta(
    project: Name,
    request: Request,
    response: Response,
    context: Opened,
    limit: Limit = 1000,
    cursor: NumberCursor = -1,
) -> list[CarMeta]:
    """The built CARs by number, with their CIDs and sizes."""
    projects.get(context.catalog, project)
    page, more = first_page(list(cars.rows(context.catalog, project, after=cursor, limit=limit + 1)), limit)
    if more:
        link_next(request, response, page[-1].number)
    return [_meta(row) for row in page]


@router.get("/carfile_meta/{project}/{number}", responses=documented(404, 422), summary="One CAR")
def one_carfile_meta(project: Name, number: Number, context: Opened) -> CarMeta:
    """The CAR of one container."""
    projects.get(context.catalog, project)
    found = next(cars.rows(context.catalog, project, number), None)
    if found is None:
        raise Problem(
            404, "unknown-car", f"project {project!r} has no CAR {number} built: see GET /v0/plan/{project}"
        )
    return _meta(found)


@router.get("/plan/{project}", responses=LINK | documented(404, 422), summary="The plan of a project")
def plan(
    project: Name,
    request: Request,
    response: Response,
    context: Opened,
    limit: Limit = 1000,
    cursor: NumberCursor = -1,
) -> list[PlannedCar]:
    """The planned containers by number: each CAR's exact size, and whether it is built."""
    projects.get(context.catalog, project)
    page, more = first_page(containers.rows(context.catalog, project, after=cursor, limit=limit + 1), limit)
    if more:
        link_next(request, response, page[-1].number)
    return [
        PlannedCar(
            number=row.number,
            items=row.items,
            data_bytes=row.data_bytes,
            size=row.car_size,
            padded_size=row.piece_size,
            padding=row.padding,
            built=row.built,
        )
        for row in page
    ]


def _meta(row: CarRow) -> CarMeta:
    return CarMeta(
        number=row.number,
        payload_cid=cid.to_text(row.payload_cid),
        commp=cid.to_text(row.piece_cid_v1),
        piece_cid_v2=cid.to_text(row.piece_cid_v2),
        size=row.car_size,
        padded_size=row.piece_size,
        data_bytes=row.data_bytes,
        items=row.items,
        file_name=row.file_name,
        sha256=row.sha256.hex() if row.sha256 else None,
        built_at=row.built_at,
        build_seconds=row.build_seconds,
    )
