"""Dagster's webserver as an application, made as `dagster-webserver` makes it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.cli import (
    DEFAULT_DB_STATEMENT_TIMEOUT,
    DEFAULT_POOL_MAX_OVERFLOW,
    DEFAULT_POOL_RECYCLE,
)
from dagster_webserver.version import __version__

__all__ = ["setup_interrupt_handlers", "webserver_app"]


@contextmanager
def webserver_app(
    instance: dg.DagsterInstance, workspace: str, prefix: str, level: int = logging.INFO
) -> Iterator[Any]:
    """The ASGI application, and the code servers that it needs while the block lasts.

    Args:
        instance: Dagster's.
        workspace: file that names what to load.
        prefix: path below which it is served, as /dagster, or empty.
        level: of what the code servers log.
    """
    instance.optimize_for_webserver(
        DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW
    )
    target = WorkspaceFileTarget([workspace])
    log_level = logging.getLevelName(level)
    with WorkspaceProcessContext(
        instance, target, version=__version__, code_server_log_level=log_level
    ) as context:
        yield create_app_from_workspace_process_context(context, prefix, lifespan=_lifespan)


@asynccontextmanager
async def _lifespan(_: object) -> AsyncIterator[None]:
    with suppress(asyncio.CancelledError):  # it was ended: no reason for a traceback
        yield
