"""Dagster's instance in Ptolemy's home: made on first use, with the packaged dagster.yaml."""

import os
from importlib.resources import files

import dagster as dg
import yaml  # type: ignore[import-untyped]

from ptolemy_core.catalog import home
from ptolemy_core.catalog.place import cannot_write, make_folder, require_plain
from ptolemy_core.errors import StateError

_CONFIG = "dagster.yaml"


def prepare_home() -> str:
    """Make the home folder with its dagster.yaml, if they aren't there; point DAGSTER_HOME at it.

    Returns:
        the home's path.

    Raises:
        SettingsError: its path isn't absolute, or holds characters of a pattern.
        StateError: it can't be made or written.
    """
    folder = home()
    require_plain(folder)
    make_folder(folder)
    _write_config(folder)
    os.environ["DAGSTER_HOME"] = folder
    return folder


def _write_config(folder: str) -> None:
    """Write dagster.yaml if it isn't there, or is empty, as a full disk leaves it; others see all of it or none."""
    config = os.path.join(folder, _CONFIG)
    made = f"{config}.{os.getpid()}"
    try:
        if os.path.exists(config) and os.path.getsize(config):
            return
        try:
            with open(made, "xb") as file:
                file.write((files("ptolemy_dagster") / _CONFIG).read_bytes())
            os.replace(made, config)
        except BaseException:
            if os.path.exists(made):
                os.unlink(made)
            raise
    except OSError as error:
        raise cannot_write(folder, error) from error


def log_folder() -> str:
    """Where processes that Ptolemy starts write their logs, made if it isn't there.

    Not the home's `logs`: Dagster's telemetry takes that folder for its own, moves its files and may upload them.
    """
    folder = os.path.join(prepare_home(), "ptolemy-logs")
    make_folder(folder)
    return folder


def open_instance() -> dg.DagsterInstance:
    """Dagster's instance of the home.

    Raises:
        SettingsError: the home's path isn't an absolute one.
        StateError: the home can't be written, or its dagster.yaml is malformed.
    """
    folder = prepare_home()
    try:
        return dg.DagsterInstance.get()
    except OSError as error:
        raise cannot_write(folder, error) from error
    except (yaml.YAMLError, dg.DagsterError, TypeError) as error:
        raise StateError(
            f"{os.path.join(folder, _CONFIG)} isn't a configuration that Dagster accepts: {error}\n"
            "Correct it, or remove it: then it is written anew"
        ) from error
