"""The command line `ptolemy`."""

from ptolemy_dagster.cli.app import main

__all__ = ["main"]
