"""Dagster's webserver behind our guard: `ptolemy ui`, and the process that `ptolemy serve` starts.

    python -m ptolemy_dagster.http.webserver WORKSPACE PORT < ACCESS

It is Dagster's own application, as `dagster-webserver` makes it, within the guard of `web_ui` and the limits of
`connections`: nothing listens that isn't guarded, so no second port is there to go around it.
"""

import logging
import os
import socket
import sys
from contextlib import suppress

import uvicorn

from ptolemy_core.garbage import what_is_here_kept
from ptolemy_dagster.http.admission import ConnectionLimits
from ptolemy_dagster.http.connections import configured, listen
from ptolemy_dagster.http.limits import BodyLimit
from ptolemy_dagster.http.settings import TOKEN_VARIABLE
from ptolemy_dagster.http.web_ui import MAX_BODY, Access, UiGuard
from ptolemy_dagster.instance import open_instance
from ptolemy_dagster.internals.webserver_app import setup_interrupt_handlers, webserver_app


def run(workspace: str, listener: socket.socket, access: Access, level: int = logging.INFO) -> None:
    """Serve the web UI until SIGINT or SIGTERM; `level`: of what is logged to standard error."""
    setup_interrupt_handlers()
    os.environ.pop(TOKEN_VARIABLE, None)  # the processes of runs would inherit it
    logging.basicConfig(level=level, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    with open_instance() as instance, webserver_app(instance, workspace, access.prefix, level) as app:
        guarded = UiGuard(BodyLimit(app, MAX_BODY), access)
        limits = ConnectionLimits.of_machine()
        config = configured(guarded, limits, log_level="error", timeout_graceful_shutdown=5)
        with what_is_here_kept():
            uvicorn.Server(config).run(sockets=[listener])


def main() -> None:
    """Serve as the arguments and the standard input say."""
    workspace, port = sys.argv[1:]
    with suppress(KeyboardInterrupt):
        access = Access.from_json(sys.stdin.buffer.read())
        run(workspace, listen("127.0.0.1", int(port)), access)


if __name__ == "__main__":
    main()
