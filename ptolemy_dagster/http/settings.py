"""What an operator decides of the HTTP API, checked before anything listens."""

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ptolemy_core.errors import SettingsError
from ptolemy_dagster.roots import ROOTS_VARIABLE, environment_roots, parse_roots

TOKEN_VARIABLE = "PTOLEMY_API_TOKEN"
MIN_TOKEN = 16
"""Characters of a token at least: a shorter one could be guessed."""

MAX_BODY = 64 << 10
"""Bytes of a request's body; settings of a project need two paths of 4 KiB each at most."""

DEFAULT_RATE, MAX_RATE = 200, 100_000
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """How the API is reached and what it may do.

    Attributes:
        host, port: where it listens.
        token: that each request must bear; None: none is asked for (on loopback only).
        roots: real paths of the folders below which target_dir and staging_dir must lie; empty: any folder.
        hosts: names by which the API may be called, lower case; None: any name (a token is asked for then).
        rate: requests a second of one address in the long run; 0: any number.
        max_body: bytes of a request's body.
        ui_url: the web UI as users reach it, for links; None: where Dagster's webserver listens.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    roots: tuple[str, ...] = ()
    hosts: frozenset[str] | None = LOOPBACK_NAMES
    rate: int = DEFAULT_RATE
    max_body: int = MAX_BODY
    ui_url: str | None = None


def parse_settings(
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    token_file: str | None = None,
    roots: Sequence[str] = (),
    allowed_hosts: Sequence[str] = (),
    rate: int = DEFAULT_RATE,
    ui_url: str | None = None,
) -> ApiSettings:
    """Settings from a command line and the environment (PTOLEMY_API_TOKEN, PTOLEMY_ROOTS).

    Raises:
        SettingsError: the API would be open to others without a token or roots, or a value can't be.
    """
    if not 0 <= port <= 65535:
        raise SettingsError(f"port must be 0 to 65535 (0: any free one), got {port}")
    if not 0 <= rate <= MAX_RATE:
        raise SettingsError(f"rate-limit must be 0 (none) to {MAX_RATE} requests a second, got {rate}")
    if ui_url is not None and not ui_url.startswith(("http://", "https://")):
        raise SettingsError(f"ui-url must start with http:// or https://, got {ui_url!r}")
    token = _token(token_file)
    chosen = tuple(dict.fromkeys((*parse_roots(roots), *environment_roots())))
    hosts: frozenset[str] | None
    if is_loopback(host):
        hosts = LOOPBACK_NAMES | {name.lower() for name in allowed_hosts} | {host.strip("[]").lower()}
    else:
        if token is None:
            raise SettingsError(
                f"listening on {host} opens the API to other machines, but there is no token: set {TOKEN_VARIABLE} "
                "or --token-file, or listen on 127.0.0.1"
            )
        if not chosen:
            raise SettingsError(
                f"listening on {host} opens the API to other machines, but no folders are set that it may use: "
                f"give --root FOLDER or set {ROOTS_VARIABLE}, or listen on 127.0.0.1"
            )
        hosts = frozenset(name.lower() for name in allowed_hosts) or None
    return ApiSettings(host, port, token, chosen, hosts, rate, ui_url=ui_url and ui_url.rstrip("/"))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address; a name other than localhost counts as reachable."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _token(path: str | None) -> str | None:
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        source = TOKEN_VARIABLE
    else:
        source = f"the token file {path!r}"
        try:
            with open(path, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{source} can't be read: {error}") from None
    if not token and path is None:
        return None
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise SettingsError(
            f"{source} must hold {MIN_TOKEN} or more printable ASCII characters without spaces, got {len(token)} "
            "characters: `openssl rand -hex 32` makes a good one"
        )
    return token
