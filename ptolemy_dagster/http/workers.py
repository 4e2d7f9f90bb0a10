"""Workers: which processes build CARs, on any machine, and when each was heard of last."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from ptolemy_core.catalog.workers import list_workers
from ptolemy_dagster.http.context import Context, opened
from ptolemy_dagster.http.problems import documented

router = APIRouter(tags=["workers"])


class WorkerOut(BaseModel):
    """A process that builds CARs."""

    host: str
    pid: int
    project: str | None = Field(description="What it builds now; null while it waits for work.")
    container: int | None
    started_at: float = Field(description="Seconds since 1970.")
    heartbeat_at: float
    lost: bool = Field(description="No heartbeat for a minute: killed, or cut off.")


@router.get("/workers", responses=documented(), summary="Workers")
def workers(context: Annotated[Context, Depends(opened)]) -> list[WorkerOut]:
    """All workers by host and process; a lost one stays listed for a day."""
    now = time.time()
    return [
        WorkerOut(
            host=worker.host,
            pid=worker.pid,
            project=worker.project,
            container=worker.container,
            started_at=worker.started_at,
            heartbeat_at=worker.heartbeat_at,
            lost=worker.is_lost(now),
        )
        for worker in list_workers(context.catalog)
    ]
