"""Where state is: the home folder, and the URL of the catalog, as the environment says them."""

import os
import re

from ptolemy_core.environment import home
from ptolemy_core.errors import SettingsError, StateError

PG_URL = "PTOLEMY_PG_URL"
"""The environment variable that puts catalog and Dagster storage on one Postgres."""

FILE = "catalog.db"
"""The embedded catalog's file in the home."""

__all__ = [
    "FILE",
    "PG_URL",
    "cannot_write",
    "default_url",
    "home",
    "make_folder",
    "place",
    "reason",
    "require_plain",
]

_SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")
_EXAMPLE = "postgresql://user:password@host:5432/database"
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(?P<port>.*))?", re.DOTALL)


def require_plain(folder: str) -> None:
    """See that a home is one that Dagster can be configured in: it looks for its configuration by a pattern.

    Raises:
        SettingsError: its path has a character that stands for others in a pattern.
    """
    if any(character in folder for character in "*?["):
        raise SettingsError(
            f"the folder of state {folder!r} has a *, ? or [ in its path, which Dagster treats as a pattern: "
            "set DAGSTER_HOME to a path without them"
        )


def make_folder(folder: str) -> None:
    """Make a folder of state if it isn't there.

    Raises:
        StateError: it can't be.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(folder: str, error: OSError) -> StateError:
    """The error that a folder of state can't be made or written."""
    what = (
        "is a file, not a folder"
        if isinstance(error, FileExistsError)
        else f"can't be written ({reason(error)})"
    )
    return StateError(
        f"the folder of state {folder} {what}: set DAGSTER_HOME to a folder that this user can write to"
    )


def reason(error: OSError) -> str:
    """Why a system call failed, in the system's words."""
    return error.strerror or type(error).__name__


def default_url() -> str:
    """SQLAlchemy URL of the catalog: PTOLEMY_PG_URL if it is set, else a SQLite file in `home()`.

    Raises:
        SettingsError: PTOLEMY_PG_URL isn't a Postgres URL, or the home isn't an absolute path.
    """
    url = os.environ.get(PG_URL)
    if not url:
        return f"sqlite:///{home()}/{FILE}"
    return f"postgresql+psycopg2://{_checked(url)}"


def place() -> str:
    """Where state is, for a person: the home, or the Postgres without its password."""
    return "the Postgres of PTOLEMY_PG_URL" if os.environ.get(PG_URL) else home()


def _checked(url: str) -> str:
    """What comes after the scheme of a Postgres URL.

    No message shows any of it: where a URL is malformed, nobody knows which part of it is the password.

    Raises:
        SettingsError: it can't be a Postgres URL.
    """
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _SCHEMES:
        raise SettingsError(f"{PG_URL} must look like {_EXAMPLE}: it doesn't start with postgresql://")
    server = re.split(r"[/?]", rest, maxsplit=1)[0]
    user, _, address = server.rpartition("@")
    if "@" in user or "@" in rest[len(server) :] or "#" in rest:
        raise _malformed("a character that needs quoting in the user's name, the password or after the host")
    if any(character.isspace() or not character.isprintable() for character in rest):
        raise _malformed("a space or a character that isn't text")
    if _BROKEN_ESCAPE.search(rest):
        raise _malformed("a % without two hexadecimal digits after it")
    if "%00" in rest:
        raise _malformed("%00, which Postgres accepts nowhere")
    host = _HOST.fullmatch(address)
    if host is None:
        raise _malformed("a host and port that can't be told apart")
    port = host["port"]
    if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 and len(port) < 6):
        raise _malformed("a port that isn't a number from 1 to 65535")
    return rest


def _malformed(what: str) -> SettingsError:
    return SettingsError(
        f"{PG_URL} has {what}. It must look like {_EXAMPLE}, with each special character quoted as %XX "
        "(@ is %40, : %3A, / %2F, ? %3F, # %23, % %25)"
    )
