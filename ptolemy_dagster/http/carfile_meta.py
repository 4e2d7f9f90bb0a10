"""A project's CARs, and the plan that they are built from."""

from functools import partial
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as InPath
from pydantic import TypeAdapter, computed_field
from starlette.types import Scope

from ptolemy_core.catalog import cars, containers, projects
from ptolemy_core.facts.cars import CarFacts, PlannedCarFacts
from ptolemy_dagster.http.context import Context, Name, opened
from ptolemy_dagster.http.paging import LINK, USUAL, Limit, NumberCursor, first_page, link_next
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.http.turns import InTurn

router = APIRouter(tags=["CARs"])
Opened = Annotated[Context, Depends(opened)]
Number = Annotated[int, InPath(ge=0, le=10**9, description="The container's number.", examples=[0])]


class CarMeta(CarFacts):
    """A built CAR, as a deal needs it. Four fields have their names of ptolemy too."""

    @computed_field(description="The same as container.")
    def number(self) -> int:
        """Of the container."""
        return self.container

    @computed_field(description="The same as piece_cid.")
    def commp(self) -> str:
        """The piece CID v1."""
        return self.piece_cid

    @computed_field(description="The same as car_size.")
    def size(self) -> int:
        """Of the CAR."""
        return self.car_size

    @computed_field(description="The same as piece_size.")
    def padded_size(self) -> int:
        """Of the piece."""
        return self.piece_size


class PlannedCar(PlannedCarFacts):
    """A container of the plan. Three fields have a second name, as in carfile_meta."""

    @computed_field(description="The same as container.")
    def number(self) -> int:
        """Of the container."""
        return self.container

    @computed_field(description="The same as car_size.")
    def size(self) -> int:
        """Of the CAR."""
        return self.car_size

    @computed_field(description="The same as piece_size.")
    def padded_size(self) -> int:
        """Of the piece."""
        return self.piece_size


_CARS: TypeAdapter[list[CarMeta]] = TypeAdapter(list[CarMeta])


@router.get(
    "/carfile_meta/{project}",
    response_model=list[CarMeta],
    responses=LINK | documented(404, 422),
    summary="CARs of a project",
)
async def carfile_meta(
    project: Name,
    request: Request,
    context: Opened,
    turns: InTurn,
    limit: Limit = USUAL,
    cursor: NumberCursor = -1,
) -> Response:
    """The built CARs by number, with their CIDs and sizes."""
    page = partial(cars_page, context, request.scope, project, limit, cursor)
    if limit > USUAL:
        return await anyio.to_thread.run_sync(page)
    return await turns.reads.ask(page)


def cars_page(context: Context, scope: Scope, project: str, limit: int, cursor: int) -> Response:
    """A page of the built CARs, as an answer."""
    page, more = first_page(list(cars.rows(context.catalog, project, after=cursor, limit=limit + 1)), limit)
    if not page:
        projects.get(context.catalog, project)  # says so if there is none
    found = _CARS.dump_json([CarMeta.of(row) for row in page], by_alias=True)
    response = Response(found, media_type="application/json")
    if more:
        link_next(Request(scope), response, page[-1].number)
    return response


@router.get("/carfile_meta/{project}/{number}", responses=documented(404, 422), summary="One CAR")
def one_carfile_meta(project: Name, number: Number, context: Opened) -> CarMeta:
    """The CAR of one container."""
    projects.get(context.catalog, project)
    found = next(cars.rows(context.catalog, project, number), None)
    if found is None:
        raise Problem(
            404, "unknown-car", f"project {project!r} has no CAR {number} built: see GET /v0/plan/{project}"
        )
    return CarMeta.of(found)


@router.get("/plan/{project}", responses=LINK | documented(404, 422), summary="The plan of a project")
def plan(
    project: Name,
    request: Request,
    response: Response,
    context: Opened,
    limit: Limit = USUAL,
    cursor: NumberCursor = -1,
) -> list[PlannedCar]:
    """The planned containers by number: each CAR's exact size, and whether it is built."""
    page, more = first_page(containers.rows(context.catalog, project, after=cursor, limit=limit + 1), limit)
    if not page:
        projects.get(context.catalog, project)  # says so if there is none
    if more:
        link_next(request, response, page[-1].number)
    return [PlannedCar.of(row) for row in page]
