"""Dagster's instance in Ptolemy's home."""

import os

import dagster as dg
import yaml  # type: ignore[import-untyped]

from ptolemy_core.catalog.place import cannot_write
from ptolemy_core.errors import StateError
from ptolemy_dagster.home import CONFIG, log_folder, prepare_home

__all__ = ["log_folder", "open_instance", "prepare_home"]


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
            f"{os.path.join(folder, CONFIG)} isn't a configuration that Dagster accepts: {error}\n"
            "Correct it, or remove it to get the default again"
        ) from error
