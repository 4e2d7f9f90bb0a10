"""Ptolemy's home: made on first use, with the packaged dagster.yaml. Nothing here imports Dagster."""

import os
from importlib.resources import files

from ptolemy_core.catalog.place import cannot_write, home, make_folder, require_plain

CONFIG = "dagster.yaml"
LOCATION = "ptolemy"
"""The code location's name, as workspace.yaml has it."""


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
    os.environ.setdefault(
        "DAGSTER_DISABLE_TELEMETRY", "yes"
    )  # whatever a dagster.yaml of another origin says
    return folder


def _write_config(folder: str) -> None:
    """Write dagster.yaml if it isn't there, or is empty, as a full disk leaves it; others see all of it or none."""
    config = os.path.join(folder, CONFIG)
    made = f"{config}.{os.getpid()}"
    try:
        if os.path.exists(config) and os.path.getsize(config):
            return
        try:
            with open(made, "xb") as file:
                file.write((files("ptolemy_dagster") / CONFIG).read_bytes())
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
