"""Commands that delete: a dry run is what they do by default, and what `--dry-run` says in so many words."""

from typing import Annotated

import typer

from ptolemy_core.errors import SettingsError

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted; the default.")]


def refuse_both(dry_run: bool, really: bool, option: str) -> None:
    """Refuse `--dry-run` beside the option that deletes.

    Raises:
        SettingsError: both are given.
    """
    if dry_run and really:
        raise SettingsError(f"--dry-run and {option} exclude each other: leave one of them out")
