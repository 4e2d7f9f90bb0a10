"""`ptolemy serve-pieces`: pieces and `/ipfs/` paths, in a process that needs neither Dagster nor the API."""

import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from ptolemy_core.catalog import Catalog
from ptolemy_core.catalog.outage import limit_patience
from ptolemy_core.errors import SettingsError
from ptolemy_core.garbage import what_is_here_kept
from ptolemy_core.gateway.access import Access, parse_tokens
from ptolemy_core.gateway.dag import Holdings
from ptolemy_core.gateway.library import Library
from ptolemy_core.source.store_errors import set_patience
from ptolemy_dagster.http.admission import ConnectionLimits
from ptolemy_dagster.http.connections import configured, listen
from ptolemy_dagster.http.failsafe import Failsafe
from ptolemy_dagster.http.limits import RateLimit
from ptolemy_dagster.http.piece_app import PieceApp, PieceServer
from ptolemy_dagster.http.piece_metrics import log as access_log
from ptolemy_dagster.http.sending import Pump
from ptolemy_dagster.http.settings import MAX_RATE, MIN_TOKEN

TOKENS_VARIABLE = "PTOLEMY_PIECE_TOKENS"
KEY_VARIABLE = "PTOLEMY_PIECE_URL_KEY"
DEFAULT_PORT = 8080
_PATIENCE = 2.0
STORE_PATIENCE = 30.0
"""Seconds that an object store may be unavailable before a request fails or is cut short."""
_MIB = 1 << 20
_MAX_CONNECTIONS = 10_000


@dataclass(frozen=True, slots=True)
class PieceSettings:
    """What an operator decides of the piece server.

    Attributes:
        access: tokens and the key of signed URLs.
        bandwidth: bytes a second of all bodies together; 0: no limit.
        connections: at once; 0: as many as the machine's limit of open files leaves room for, at most 512.
        per_address: of them, of one address; 0: half of them.
        rate: requests a second of one address in the long run; 0: any number.
        log_file: of requests; "-" for standard error, None for none.
    """

    access: Access = field(default_factory=Access)
    bandwidth: float = 0
    connections: int = 0
    per_address: int = 0
    rate: int = 0
    log_file: str | None = "-"

    def limits(self) -> ConnectionLimits:
        """Limits of connections."""
        usual = ConnectionLimits.of_machine()
        total = self.connections or usual.total
        return ConnectionLimits(total=total, per_address=self.per_address or max(1, total // 2))


def parse_access(token_file: str | None, key_file: str | None) -> Access:
    """Tokens and the key of signed URLs, from files or the environment.

    Raises:
        SettingsError: one can't be read, or could be guessed.
    """
    tokens = _secrets(token_file, TOKENS_VARIABLE, "token")
    keys = _secrets(key_file, KEY_VARIABLE, "key of signed URLs")
    if len(keys) > 1:
        raise SettingsError(f"{key_file or KEY_VARIABLE} must hold one key of signed URLs, got {len(keys)}")
    return Access(tokens, keys[0].encode() if keys else b"")


def _secrets(path: str | None, variable: str, what: str) -> tuple[str, ...]:
    if path is None:
        source, text = variable, os.environ.get(variable, "")
    else:
        source = path
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"the file {path!r} of the {what} can't be read: {error}") from None
    found = parse_tokens(text.splitlines())
    for one in found:
        if len(one) < MIN_TOKEN or not one.isascii() or not one.isprintable() or " " in one:
            raise SettingsError(
                f"a {what} in {source} must be {MIN_TOKEN} or more printable ASCII characters without spaces, "
                f"got {len(one)}: `openssl rand -hex 32` makes a good one"
            )
    if path is not None and not found:
        raise SettingsError(f"the file {path!r} holds no {what}: write one into it")
    return found


def parse_settings(
    access: Access,
    *,
    bandwidth: float = 0,
    connections: int = 0,
    per_address: int = 0,
    rate: int = 0,
    log_file: str | None = "-",
) -> PieceSettings:
    """Settings from a command line, `bandwidth` in MiB a second.

    Raises:
        SettingsError: a value can't be.
    """
    if bandwidth < 0 or bandwidth > 1e6:
        raise SettingsError(f"bandwidth must be 0 (no limit) to 1000000 MiB a second, got {bandwidth:g}")
    for name, value in (("connections", connections), ("per-address", per_address)):
        if not 0 <= value <= _MAX_CONNECTIONS:
            raise SettingsError(f"{name} must be 0 (the usual) to {_MAX_CONNECTIONS}, got {value}")
    if not 0 <= rate <= MAX_RATE:
        raise SettingsError(f"rate-limit must be 0 (none) to {MAX_RATE} requests a second, got {rate}")
    return PieceSettings(access, bandwidth * _MIB, connections, per_address, rate, log_file)


def make_server(catalog: Catalog, settings: PieceSettings) -> PieceServer:
    """The parts of a piece server."""
    return PieceServer(Holdings(catalog, Library()), settings.access, Pump(settings.bandwidth))


def protected(server: PieceServer, rate: int) -> ASGIApp:
    """The server as an application, with its limit of requests, and failures that nobody expected answered."""
    return Failsafe(RateLimit(PieceApp(server), rate))


def serve_pieces(catalog: Catalog, host: str, port: int, settings: PieceSettings) -> None:
    """Serve pieces until SIGINT or SIGTERM.

    Raises:
        SettingsError: the address can't be listened on, or the log can't be written.
    """
    start_log(settings.log_file)
    try:
        listener = listen(host, port)
    except OSError as error:
        raise SettingsError(
            f"nothing can listen on {host} port {port} ({os.strerror(error.errno or 0)}): use another --port, or "
            "end what listens there"
        ) from None
    limit_patience(_PATIENCE)
    set_patience(STORE_PATIENCE)
    server = make_server(catalog, settings)
    signal.signal(signal.SIGTERM, _leave)
    _say(listener, host, settings)
    config = configured(
        protected(server, settings.rate),
        settings.limits(),
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=1,
    )
    try:
        with what_is_here_kept():
            uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        server.close()


def start_log(place: str | None) -> None:
    """Write a line for each request to a file, or to standard error.

    Raises:
        SettingsError: the file can't be written.
    """
    errors = logging.getLogger("ptolemy.pieces")
    errors.addHandler(logging.StreamHandler(sys.stderr))
    access_log.propagate = False
    if place is None:
        return
    try:
        handler = logging.StreamHandler(sys.stderr) if place == "-" else logging.FileHandler(place)
    except OSError as error:
        raise SettingsError(f"the access log {place!r} can't be written ({error.strerror})") from None
    access_log.addHandler(handler)
    access_log.setLevel(logging.INFO)


def _say(listener: socket.socket, host: str, settings: PieceSettings) -> None:
    shown = f"[{host}]" if ":" in host else host
    place = f"http://{shown}:{listener.getsockname()[1]}"
    ways = ["anyone, of projects with public-pieces"]
    if settings.access.tokens:
        ways.append("all with a token")
    if settings.access.key:
        ways.append("all by signed URLs")
    print(f"pieces   {place}/piece/CID\nfiles    {place}/ipfs/CID\nfor      {'; '.join(ways)}", flush=True)


def _leave(*_: object) -> None:
    raise KeyboardInterrupt
