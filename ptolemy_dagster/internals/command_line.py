"""Dagster's command line, called from Python."""

from dagster._cli import cli


def run() -> None:
    """What `python -m dagster` does with this process's arguments."""
    cli(prog_name="dagster", auto_envvar_prefix="DAGSTER_CLI")
