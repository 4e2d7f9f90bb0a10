"""Workers: which processes build CARs, on any machine, and when each was heard of last."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends

from ptolemy_core.catalog.workers import list_workers
from ptolemy_core.facts.projects import WorkerFacts
from ptolemy_dagster.http.context import Context, opened
from ptolemy_dagster.http.problems import documented

router = APIRouter(tags=["workers"])


@router.get("/workers", responses=documented(), summary="Workers")
def workers(context: Annotated[Context, Depends(opened)]) -> list[WorkerFacts]:
    """All workers by host and process; a lost one stays listed for a day."""
    now = time.time()
    return [WorkerFacts.of(worker, now) for worker in list_workers(context.catalog)]
