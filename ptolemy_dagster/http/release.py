"""Release: CARs are marked as delivered, and may leave the staging folder."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from ptolemy_core.catalog import projects
from ptolemy_core.facts.cars import ReleasedFacts, ReleasedRootFacts
from ptolemy_core.stages import release, release_root
from ptolemy_dagster.http.bodies import described, posted
from ptolemy_dagster.http.context import Context, in_thread, opened
from ptolemy_dagster.http.problems import Problem, documented
from ptolemy_dagster.roots import require_inside

router = APIRouter(tags=["CARs"])


class Release(BaseModel):
    """Which CARs are released."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"cars": ["delta/0"], "note": "https://sp.example"}}
    )

    cars: list[str] = Field(
        description="Payload CIDs, piece CIDs, file names, PROJECT/NUMBER or PROJECT/root.",
        min_length=1,
        max_length=1000,
    )
    note: str | None = Field(None, description="Where they went.", max_length=2000)
    remove: bool = Field(False, description="Delete their files from the staging folder, too.")
    undo: bool = Field(False, description="Take the mark back.")


@router.post(
    "/release",
    responses=documented(404, 409, 422),
    summary="Mark CARs as delivered",
    openapi_extra=described(Release.model_json_schema()),
)
async def release_cars(
    body: Annotated[Release, Depends(posted(Release))],
    context: Annotated[Context, Depends(opened)],
) -> list[ReleasedFacts | ReleasedRootFacts]:
    """Mark CARs as delivered: they may leave the staging folder, and are never built again by a blitz."""
    if body.undo and (body.note is not None or body.remove):
        raise Problem(422, "bad-value", "undo can't be combined with note or remove: give one of them")
    return await in_thread(context, _release, context, body)


def _release(context: Context, body: Release) -> list[ReleasedFacts | ReleasedRootFacts]:
    catalog = context.catalog
    chosen, tops = release_root.named(catalog, body.cars)
    for name in {row.project for row in chosen} | {row.project for row in tops}:
        require_inside(projects.get(catalog, name), context.settings.roots)
    if body.undo:
        results, of_roots = release.undo(catalog, chosen), release_root.undo(catalog, tops)
    else:
        results = release.release(catalog, chosen, note=body.note, remove=body.remove)
        of_roots = release_root.release(catalog, tops, note=body.note, remove=body.remove)
    return [
        *(ReleasedFacts.of(one.car, done=one.done, warning=one.warning) for one in results),
        *(ReleasedRootFacts.of(one.root, done=one.done, warning=one.warning) for one in of_roots),
    ]
