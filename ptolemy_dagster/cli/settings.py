"""The command set."""

from typing import Any

from ptolemy_core.catalog import projects
from ptolemy_core.errors import SettingsError
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.options import changing
from ptolemy_dagster.cli.stages import Json, Name, open_catalog


@changing
def set_command(project: Name, *, as_json: Json = False, **settings: Any) -> None:
    """Change settings that may change; without options, show all settings.

    Patterns take effect with the next scan. A list replaces the one before.
    """
    with output.errors_shown():
        changed = projects.change(open_catalog(), project, _given(settings))
    if as_json:
        output.print_json(changed.model_dump())
        return
    output.print_table(("setting", "value"), [(k, _said(v)) for k, v in changed.model_dump().items()])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The settings that were given; an emptied list is given too."""
    given: dict[str, Any] = {}
    for name, value in options.items():
        cleared = options.get(f"no_{name}", False)
        if value is not None and cleared:
            raise SettingsError(
                f"{name} can't be given and emptied at once: use --{name} or --no-{name}, not both"
            )
        if cleared:
            given[name] = []
        elif value is not None and not name.startswith("no_"):
            given[name] = value
    return given


def _said(value: object) -> object:
    if isinstance(value, tuple):
        return "  ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value
