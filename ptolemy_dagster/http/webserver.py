"""Dagster's webserver behind our guard: `ptolemy web-ui`, and the process that `ptolemy serve` starts.

    python -m ptolemy_dagster.http.webserver WORKSPACE PORT < ACCESS

It is Dagster's own application, as `dagster-webserver` makes it, within the guard of `web_ui` and the limits of
`connections`: nothing listens that isn't guarded, so no second port is there to go around it.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
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

from ptolemy_dagster.http.connections import ConnectionLimits, configured, listen
from ptolemy_dagster.http.limits import BodyLimit
from ptolemy_dagster.http.settings import TOKEN_VARIABLE
from ptolemy_dagster.http.web_ui import MAX_BODY, Access, UiGuard
from ptolemy_dagster.instance import open_instance


def run(workspace: str, listener: socket.socket, access: Access) -> None:
    """Serve the web UI until SIGINT or SIGTERM."""
    setup_interrupt_handlers()
    os.environ.pop(TOKEN_VARIABLE, None)  # the processes of runs would inherit it
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    with open_instance() as instance:
        instance.optimize_for_webserver(
            DEFAULT_DB_STATEMENT_TIMEOUT, DEFAULT_POOL_RECYCLE, DEFAULT_POOL_MAX_OVERFLOW
        )
        target = WorkspaceFileTarget([workspace])
        with WorkspaceProcessContext(instance, target, version=__version__) as context:
            app = create_app_from_workspace_process_context(context, access.prefix, lifespan=_lifespan)
            guarded = UiGuard(BodyLimit(app, MAX_BODY), access)
            config = configured(
                guarded, ConnectionLimits.of_machine(), log_level="error", timeout_graceful_shutdown=5
            )
            uvicorn.Server(config).run(sockets=[listener])


@asynccontextmanager
async def _lifespan(_: object) -> AsyncIterator[None]:
    with suppress(asyncio.CancelledError):  # it was ended: no reason for a traceback
        yield


def main() -> None:
    """Serve as the arguments and the standard input say."""
    workspace, port = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        access = Access.from_json(sys.stdin.buffer.read())
        run(workspace, listen("127.0.0.1", int(port)), access)


if __name__ == "__main__":
    main()
