"""The command set, and the options of settings that it shares with create."""

from typing import Annotated

import typer

from ptolemy_core.catalog import projects
from ptolemy_core.errors import SettingsError
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.stages import Json, Name, open_catalog

_RULES = "*.tmp, cache/, /top/**/*.raw; give it again for each pattern"


def set_command(
    project: Name,
    include: Annotated[list[str] | None, typer.Option(help=f"Only what matches: {_RULES}.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help=f"Not what matches: {_RULES}.")] = None,
    no_include: Annotated[bool, typer.Option("--no-include", help="Include everything again.")] = False,
    no_exclude: Annotated[bool, typer.Option("--no-exclude", help="Exclude nothing any more.")] = False,
    hidden: Annotated[bool | None, typer.Option(help="Names that start with a dot.")] = None,
    on_error: Annotated[str | None, typer.Option(help="fail or skip.")] = None,
    watch: Annotated[bool | None, typer.Option(help="Scan by itself when the folder changed.")] = None,
    auto: Annotated[bool | None, typer.Option(help="Go on to CARs by itself after a scan.")] = None,
    quiet_seconds: Annotated[int | None, typer.Option(help="Rest of a folder before it is scanned.")] = None,
    max_loss: Annotated[
        int | None, typer.Option(help="Percent of the entries that may be gone at once; a scan fails beyond.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change settings that may change; rules take effect with the next scan. Lists replace the ones before."""
    given = {
        "include": [] if no_include else include,
        "exclude": [] if no_exclude else exclude,
        "hidden": hidden,
        "on_error": on_error,
        "watch": watch,
        "auto": auto,
        "quiet_seconds": quiet_seconds,
        "max_loss": max_loss,
    }
    settings = {name: value for name, value in given.items() if value is not None}
    with output.errors_shown():
        if (include and no_include) or (exclude and no_exclude):
            raise SettingsError("a list can't be given and emptied at once: use one of the two options")
        changed = projects.change(open_catalog(), project, settings)
    if as_json:
        output.print_json(changed.model_dump())
        return
    output.print_table(("setting", "value"), [(k, _said(v)) for k, v in changed.model_dump().items()])


def _said(value: object) -> object:
    if isinstance(value, tuple):
        return "  ".join(value)
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
