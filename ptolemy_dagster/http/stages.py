"""POST /v0/scan, /v0/containerize, /v0/blitz, /v0/verify and /v0/onboard: each launches a Dagster run."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from ptolemy_core.stages.order import Until
from ptolemy_dagster.http.context import Context, Name, in_thread, opened
from ptolemy_dagster.http.launching import Launched, launch
from ptolemy_dagster.http.problems import documented
from ptolemy_dagster.run_config import scan_config

router = APIRouter(tags=["stages"])
_ANSWERS = documented(404, 409, 422, 503)
Opened = Annotated[Context, Depends(opened)]
AcceptLoss = Annotated[
    bool,
    Query(
        description="Scan even if target_dir is empty, on another file system than at the last scan, or has "
        "lost more than max_loss percent of its entries."
    ),
]


@router.post("/scan/{project}", status_code=202, responses=_ANSWERS, summary="Scan")
async def scan(project: Name, context: Opened, accept_loss: AcceptLoss = False) -> Launched:
    """Walk the target folder into the catalog. May be run again: it finds what is new, changed and gone."""
    return await in_thread(context, launch, context, "scan", project, scan_config(accept_loss))


@router.post("/containerize/{project}", status_code=202, responses=_ANSWERS, summary="Containerize")
async def containerize(project: Name, context: Opened) -> Launched:
    """Plan containers for everything scanned that is in none yet; needs a scan."""
    return await in_thread(context, launch, context, "containerize", project)


@router.post("/blitz/{project}", status_code=202, responses=_ANSWERS, summary="Blitz")
async def blitz(project: Name, context: Opened) -> Launched:
    """Build all CARs that aren't built yet; needs containers."""
    return await in_thread(context, launch, context, "blitz", project)


@router.post("/verify/{project}", status_code=202, responses=_ANSWERS, summary="Verify")
async def verify(project: Name, context: Opened) -> Launched:
    """Read all CARs back: blocks, trees, piece CIDs; needs CARs."""
    return await in_thread(context, launch, context, "verify", project)


@router.post("/onboard/{project}", status_code=202, responses=_ANSWERS, summary="All stages in a row")
async def onboard(
    project: Name,
    context: Opened,
    until: Annotated[Until, Query(description="The last stage to run.")] = Until.MANIFEST,
    accept_loss: AcceptLoss = False,
) -> Launched:
    """Scan, containerize, blitz and verify, then make root and manifest, all in one run; or end after one of them."""
    return await in_thread(context, launch, context, until.job, project, scan_config(accept_loss))
