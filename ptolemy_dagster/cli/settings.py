"""The command set."""

from typing import Annotated, Any

import typer

from ptolemy_core import urls
from ptolemy_core.errors import SettingsError
from ptolemy_core.stages import change
from ptolemy_core.stages.deal_settings import wallet_warning
from ptolemy_dagster.cli import output
from ptolemy_dagster.cli.options import changing
from ptolemy_dagster.cli.stages import Json, Name, open_catalog
from ptolemy_dagster.roots import environment_roots, require_inside


@changing
def set_command(
    project: Name,
    *,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss",
            help="Move to a target-dir or staging-dir that lacks files or CARs which the project has.",
        ),
    ] = False,
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Change settings of a project; without options, show all settings.

    Patterns take effect with the next scan. A list replaces the one before. A new target-dir must hold the same
    files, with the same times; a new staging-dir must hold the CARs.
    """
    with output.errors_shown():
        catalog, given = open_catalog(), _given(settings)
        for name in ("target_dir", "staging_dir"):
            if name in given:
                given[name] = urls.absolute(given[name])
        require_inside(change.changed(catalog, project, given), environment_roots())
        changed = change.change(catalog, project, given, accept_loss=accept_loss)
        if "deal_wallet" in given:
            _warn(wallet_warning(changed))
    if as_json:
        output.print_json(changed.model_dump())
        return
    output.print_table(("setting", "value"), [(k, _said(v)) for k, v in changed.model_dump().items()])


def _warn(warning: str | None) -> None:
    if warning is not None:
        output.say(f"warning: {warning}")


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
    if value is None:
        return "not set"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
