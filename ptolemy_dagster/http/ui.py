"""`ptolemy ui`: Dagster's web UI in this process, and its daemon beside it."""

import logging
import os
import threading
from contextlib import suppress

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.outage import is_away
from ptolemy_dagster.http.serve import daemon_beside, listener_on, make_storage, workspace_file
from ptolemy_dagster.http.settings import ApiSettings
from ptolemy_dagster.http.supervise import Child
from ptolemy_dagster.http.web_ui import Access
from ptolemy_dagster.http.webserver import run
from ptolemy_dagster.instance import log_folder, open_instance, prepare_home
from ptolemy_dagster.roots import set_environment
from ptolemy_dagster.sensors.failed import UI_URL

_TICK = 1.0


def serve_ui(catalog: Catalog, settings: ApiSettings, *, daemon: bool) -> None:
    """Serve the web UI until SIGINT or SIGTERM; `daemon`: keep a daemon running, unless another one is alive.

    Raises:
        SettingsError: the address can't be listened on.
    """
    access = Access.of(settings)
    set_environment(settings.roots)
    listener = listener_on(settings.host, settings.port)
    home = prepare_home()
    instance = open_instance()
    make_storage(catalog, instance)
    workspace = workspace_file(home)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    os.environ.setdefault(
        UI_URL, settings.ui_url or f"http://{host}:{listener.getsockname()[1]}{access.prefix}"
    )
    print(f"web UI   http://{host}:{listener.getsockname()[1]}{access.prefix}", flush=True)
    child = daemon_beside(home, instance) if daemon else None
    if child is not None:
        print(f"logs     {log_folder()}", flush=True)
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(child, stop), name="supervisor")
    keeper.start()
    try:
        with suppress(KeyboardInterrupt):
            run(workspace, listener, access, logging.WARNING)
    finally:
        stop.set()
        keeper.join()
        if child is not None:
            child.stop()


def _keep(child: Child | None, stop: threading.Event) -> None:
    """See that a process runs, until it is time to stop."""
    while child is not None and not stop.is_set():
        try:
            child.tick()
        except Exception as error:
            if not is_away(error):
                raise
        stop.wait(_TICK)
