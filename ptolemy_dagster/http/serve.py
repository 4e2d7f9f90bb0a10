"""`ptolemy serve`: the API in this process, with all that its runs need beside it.

How runs are launched, so that `ptolemy serve` alone is enough on a fresh home:

- The API asks Dagster's webserver over GraphQL to launch a run, which puts it into Dagster's queue. dagster-daemon
  takes it from there, one run of a project at a time, and starts a process for it. This is the way of every run in
  Dagster: the same limits hold, the same retries, and it is in the web UI from the start.
- So the server starts a webserver (on loopback, behind the same guard as the API: see `web_ui`) and a daemon,
  restarts one that dies, and ends both with itself. An active run continues to its end, and is
  found again by the next server.
- It starts no webserver where `--dagster-url` names one, and no daemon with `--no-daemon`, nor while another one of
  the same storage sends heartbeats (Dagster's queue must have one reader).

On SQLite a database takes one writer at a time, across all processes. Ptolemy's writes are short transactions that
wait for each other; launches go one by one through the webserver; so nothing fails, it only queues. Many machines
need Postgres.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import sysconfig
import threading
import time
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import dagster as dg
import uvicorn
from starlette.types import ASGIApp

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.outage import is_away, limit_patience
from ptolemy_core.errors import SettingsError
from ptolemy_core.garbage import what_is_here_kept
from ptolemy_core.source.store_errors import set_patience
from ptolemy_dagster.http.admission import ConnectionLimits
from ptolemy_dagster.http.app import create_app
from ptolemy_dagster.http.connections import configured, listen
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.dagster_api import Dagster
from ptolemy_dagster.http.piece_app import Mounted
from ptolemy_dagster.http.piece_server import (
    STORE_PATIENCE,
    PieceSettings,
    make_server,
    protected,
    start_log,
)
from ptolemy_dagster.http.settings import ApiSettings, is_loopback
from ptolemy_dagster.http.supervise import Child
from ptolemy_dagster.http.web_ui import Access
from ptolemy_dagster.instance import log_folder, open_instance, prepare_home
from ptolemy_dagster.internals.run_records import RunRecords, is_usual_storage
from ptolemy_dagster.partitions import project_partitions
from ptolemy_dagster.roots import set_environment
from ptolemy_dagster.sensors.failed import UI_URL

DEFAULT_UI_PORT = 3000
_log = logging.getLogger("ptolemy.http")
_TICK = 1.0
_PATIENCE = 2.0
"""Seconds that a request waits for a Postgres that is away; its client is told to come again."""

_HEARD_SECONDS = 75.0
"""A daemon sends a heartbeat each 30 s: one that was silent for longer than this is gone."""

_WORKSPACE = """# What Dagster's processes beside `ptolemy serve` load; written again at each start.
load_from:
  - python_module:
      module_name: ptolemy_dagster.definitions
      location_name: ptolemy
"""


@dataclass(frozen=True, slots=True)
class Beside:
    """What runs beside the API.

    Attributes:
        dagster_url: a webserver that runs already; None: start one.
        ui_port: where to start it; None: 3000, or any free port if that one is taken.
        daemon: whether to start a daemon where none is heard of.
        pieces: how pieces are served under the same address; None: they aren't.
    """

    dagster_url: str | None = None
    ui_port: int | None = None
    daemon: bool = True
    pieces: PieceSettings | None = None


def serve(catalog: Catalog, settings: ApiSettings, beside: Beside) -> None:
    """Run the API until SIGINT or SIGTERM.

    Raises:
        SettingsError: an address can't be listened on.
    """
    set_environment(settings.roots)
    listener = listener_on(settings.host, settings.port)
    home = prepare_home()
    instance = open_instance()
    make_storage(catalog, instance)
    children: list[Child] = []
    url = beside.dagster_url
    if url is None:
        webserver, url = _webserver(home, beside.ui_port, settings)
        children.append(webserver)
    if beside.daemon:
        children.append(daemon_beside(home, instance))
    is_here = beside.dagster_url is None or is_loopback(urlsplit(beside.dagster_url).hostname or "")
    token = settings.token if is_here else None  # other machines aren't told it
    records = RunRecords(catalog) if is_usual_storage() else None
    dagster = Dagster(instance, url, settings.ui_url, token, records)
    os.environ.setdefault(UI_URL, dagster.ui_url)  # the daemon's messages have links
    limit_patience(_PATIENCE)
    set_patience(STORE_PATIENCE)
    app = _application(Context(catalog, dagster, settings), beside.pieces)
    dagster.expect_start()
    stop = threading.Event()
    watch = threading.Thread(target=_watch, args=(children, dagster, stop), name="supervisor")
    signal.signal(signal.SIGTERM, _leave)  # uvicorn hands the signal on when it has shut down
    watch.start()
    try:
        _say(listener, settings, dagster)
        config = configured(app, ConnectionLimits.of_machine(), log_level="error")
        with what_is_here_kept():
            uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        stop.set()
        watch.join()
        for child in children:
            child.stop()


def _application(context: Context, pieces: PieceSettings | None) -> ASGIApp:
    """The API, and the piece server at the same address if it is asked for."""
    if pieces is None:
        return create_app(context)
    start_log(pieces.log_file)
    server = make_server(context.catalog, pieces)
    return Mounted(
        protected(server, pieces.rate), create_app(replace(context, pieces=server, bodies=server.bodies))
    )


def make_storage(catalog: Catalog, instance: dg.DagsterInstance) -> None:
    """Make Dagster's databases: processes that do it at the same time, on a fresh home, fail each other."""
    with catalog.lock("make Dagster's storage", wait=120):
        instance.get_runs(limit=1)
        instance.get_dynamic_partitions(project_partitions.name or "")
        instance.all_instigator_state()


def _say(listener: socket.socket, settings: ApiSettings, dagster: Dagster) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    place = f"http://{host}:{listener.getsockname()[1]}"
    lines = [
        f"API      {place}/v0/projects   (described at {place}/docs)",
        f"web UI   {dagster.ui_url}",
        f"projects {place}/",
        f"logs     {log_folder()}",
        f"token    {'asked for' if settings.token else 'none: only this machine reaches the API'}",
        f"folders  {', '.join(settings.roots) or 'any that this user may use'}",
    ]
    print("\n".join(lines), flush=True)


def _leave(*_: object) -> None:
    raise KeyboardInterrupt


def _watch(children: list[Child], dagster: Dagster, stop: threading.Event) -> None:
    while not stop.is_set():
        for child in children:
            try:
                started = child.tick()
            except Exception as error:
                if not is_away(error):
                    raise
                _log.warning("the %s isn't started while the database is away", child.name)
                continue
            if started and child.name == "webserver":
                dagster.expect_start()
        stop.wait(_TICK)


def listener_on(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        SettingsError: it can't.
    """
    try:
        return listen(host, port)
    except OSError as error:
        raise SettingsError(
            f"nothing can listen on {host} port {port} ({os.strerror(error.errno or 0)}): use another "
            "--port, or stop the program that listens there"
        ) from None


def _webserver(home: str, port: int | None, settings: ApiSettings) -> tuple[Child, str]:
    """The webserver and its address: that of another server of this home, if one runs."""
    child = Child("webserver", home)
    other = child.of_other_server(_HEARD_SECONDS)
    chosen = _free_port(port)
    access = Access.of(settings)
    url = f"http://127.0.0.1:{chosen}{access.prefix}"
    command = [sys.executable, "-m", "ptolemy_dagster.http.webserver", workspace_file(home), str(chosen)]
    child.run_as(command, url, access.to_json())
    return child, other.url if other else url


def daemon_beside(home: str, instance: dg.DagsterInstance) -> Child:
    """A daemon that runs unless another one of the same storage does."""
    command = [_script("dagster-daemon"), "run", "-w", workspace_file(home)]
    return Child("daemon", home, command, wanted=lambda ended: not _daemon_is_heard(instance, ended))


def _daemon_is_heard(instance: dg.DagsterInstance, ended: float) -> bool:
    """Whether a daemon of the same storage is alive; what was heard before ours `ended` was ours."""
    since = max(ended, time.time() - _HEARD_SECONDS)
    return any(beat.timestamp > since for beat in instance.get_daemon_heartbeats().values())


def workspace_file(home: str) -> str:
    """Write what Dagster's processes are to load; its path."""
    path = os.path.join(home, "serve-workspace.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(_WORKSPACE)
    return path


def _script(name: str) -> str:
    """A program of Dagster's, of the same Python as this one."""
    beside = os.path.join(os.path.dirname(sys.executable), name)
    for path in (beside, os.path.join(sysconfig.get_path("scripts"), name)):
        if os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found is None:
        raise SettingsError(
            f"{name} isn't installed beside {sys.executable}: install ptolemy with its dependencies"
        )
    return found


def _free_port(wanted: int | None) -> int:
    """The wanted port; if none is wanted, 3000 or any free one.

    Raises:
        SettingsError: the wanted one is taken.
    """
    for port in (DEFAULT_UI_PORT, 0) if wanted is None else (wanted,):
        try:
            with socket.create_server(("127.0.0.1", port)) as attempt:
                return int(attempt.getsockname()[1])
        except OSError:
            continue
    raise SettingsError(
        f"ui-port {wanted} is taken: use another one, or --dagster-url if Dagster listens there"
    )
