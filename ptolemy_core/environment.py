"""Settings from the environment, checked."""

import math
import os

from ptolemy_core.errors import SettingsError

_HOMES = ("DAGSTER_HOME", "PTOLEMY_HOME")


def seconds(variable: str, default: float) -> float:
    """A number of seconds, 0 or more; `default` where the variable isn't set.

    Raises:
        SettingsError: it isn't one.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (math.isfinite(value) and value >= 0):
        raise SettingsError(f"{variable} must be a number of seconds, 0 or more, got {text!r}")
    return value


def whole_number(variable: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`; `default` where the variable isn't set.

    Raises:
        SettingsError: it isn't one.
    """
    text = os.environ.get(variable)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise SettingsError(f"{variable} must be a whole number from 1 to {most}, got {text!r}")
    return int(text)


def staging(project: str) -> str:
    """Folder of this machine for a project whose staging area is in a store: manifests, and what isn't complete."""
    return os.path.join(home(), "staging", project)


def home() -> str:
    """Folder of the embedded catalog and of Dagster's instance.

    DAGSTER_HOME if it is set, else PTOLEMY_HOME, else ~/.ptolemy.

    Raises:
        SettingsError: it isn't an absolute path.
    """
    for variable in _HOMES:
        chosen = os.environ.get(variable)
        if chosen:
            folder = os.path.expanduser(chosen)
            if not os.path.isabs(folder):
                raise SettingsError(
                    f"{variable} must be an absolute path, got {chosen!r}, which would be a different home in each "
                    f"folder: use {os.path.abspath(folder)}"
                )
            return os.path.abspath(folder)
    folder = os.path.expanduser("~/.ptolemy")
    if not os.path.isabs(folder):
        raise SettingsError("this user has no home directory to keep state in: set DAGSTER_HOME to a folder")
    return os.path.abspath(folder)
