"""Dagster's instance in Ptolemy's home: made on first use, with the packaged dagster.yaml."""

import os
import shutil
from importlib.resources import as_file, files

import dagster as dg

from ptolemy_core.catalog import home


def prepare_home() -> str:
    """Make the home folder with its dagster.yaml, if they aren't there; point DAGSTER_HOME at it.

    Returns:
        the home's path.
    """
    folder = home()
    os.makedirs(folder, exist_ok=True)
    config = os.path.join(folder, "dagster.yaml")
    if not os.path.exists(config):
        with as_file(files("ptolemy_dagster") / "dagster.yaml") as packaged:
            shutil.copyfile(packaged, config)
    os.environ["DAGSTER_HOME"] = folder
    return folder


def log_folder() -> str:
    """Where processes that Ptolemy starts write their logs, made if it isn't there.

    Not the home's `logs`: Dagster's telemetry takes that folder for its own, moves its files and may upload them.
    """
    folder = os.path.join(prepare_home(), "ptolemy-logs")
    os.makedirs(folder, exist_ok=True)
    return folder


def open_instance() -> dg.DagsterInstance:
    """Dagster's instance of the home."""
    prepare_home()
    return dg.DagsterInstance.get()
