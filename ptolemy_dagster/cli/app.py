"""All commands, assembled. Each is imported when it is used: `ptolemy cid` needs no database, `status` no Dagster."""

import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ptolemy_dagster.cli import ending, output, streams
from ptolemy_dagster.cli.commands import COMMANDS, Command


class _Group(TyperGroup):
    """A group that knows its commands by name and help only, until one is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is used, its module imported."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else known, rest


class _OneCommand(TyperCommand):
    """A command that names a value of the wrong type, which typer's own sentence leaves out."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse what was given; `args` is used up by that."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            value = _value_of(getattr(error.param, "opts", []), given)
            for wrong, right in _MUST_BE.items():
                if value is not None and (found := re.search(wrong, error.message)):
                    error.message = f"must be {found.expand(right)}, got {value!r}"
            raise


_MUST_BE = {
    r"valid integer": "a whole number",
    r"valid number": "a number",
    r"greater than or equal to (\S+)": r"at least \1",
    r"less than or equal to (\S+)": r"at most \1",
}
"""What a value must be, by typer's message."""


def _value_of(names: list[str], given: list[str]) -> str | None:
    """The last value that was given for an option; None if it isn't one."""
    found = None
    for place, text in enumerate(given):
        name, equals, value = text.partition("=")
        if name in names:
            found = value if equals else "".join(given[place + 1 : place + 2])
    return found


app = typer.Typer(
    name="ptolemy",
    cls=_Group,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Folders of any size become verified Filecoin pieces.\n\n"
    "The stages of a project are create, scan, containerize, blitz; `run` does all but create, and verifies. "
    "You can run any stage again: it does the remaining work. State is in ~/.ptolemy (or DAGSTER_HOME), or in "
    "the Postgres of PTOLEMY_PG_URL.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ptolemy {version('ptolemy')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    pass


def _with_json_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The same command; given --json, it also shows errors as JSON."""

    @wraps(command)
    def run(**given: Any) -> None:
        with output.json_errors(bool(given.get("as_json"))):
            command(**given)

    return run


def import_module_of(name: str = "") -> None:
    """Import what a command needs, if there is a command of that name; errors are told when it is used."""
    with suppress(Exception):
        import_module(f"ptolemy_dagster.cli.{COMMANDS[name].module}")


def load(name: str) -> Any:
    """A command, ready to be used."""
    command = COMMANDS[name]
    module = import_module(f"ptolemy_dagster.cli.{command.module}")
    found = getattr(module, command.name)
    if isinstance(found, Mapping):
        group = typer.Typer(name=name, no_args_is_help=True, help=module.HELP, add_completion=False)
        for each, function in found.items():
            _add(group, each, function)
    else:
        group = typer.Typer(add_completion=False, pretty_exceptions_show_locals=False)
        _add(group, name, found)
    made = typer.main.get_command(group)
    made.name = name
    return made


def loaded() -> Any:
    """The whole command line with all its commands, as documentation needs it."""
    group: Any = typer.main.get_command(app)
    group.commands = {name: load(name) for name in COMMANDS}
    return group


def _add(group: typer.Typer, name: str, command: Callable[..., None]) -> None:
    group.command(name, cls=_OneCommand)(ending.ends_well(name, _with_json_errors(command)))


def _announce(name: str, command: Command) -> None:
    def nothing() -> None:
        """It is replaced by the command when that is used."""

    app.command(name, help=command.help)(nothing)


for _name, _command in COMMANDS.items():
    _announce(_name, _command)


def main() -> None:
    """Entry point."""
    streams.prepare()
    try:
        with ending.errors_told():
            try:
                app()
            finally:
                sys.stdout.flush()
    except typer.Exit as end:
        sys.exit(end.exit_code)
