"""All commands, assembled. Each is imported when it is used: `ptolemy cid` needs no database, `status` no Dagster."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ptolemy_core.errors import SettingsError
from ptolemy_dagster.cli import ending, output, streams
from ptolemy_dagster.cli.commands import COMMANDS, Command

_Misuse: Any = typer.BadParameter.__base__
"""Wrong usage of any kind: typer exports only this class derived from it."""


class _Group(TyperGroup):
    """A group that knows its commands by name and help only, until one is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is used, its module imported."""
        name, known, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else known, rest


class _OneCommand(TyperCommand):
    """A command that names a value of the wrong type, refuses empty ones, and tells of both as JSON given --json."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Parse what was given; `args` is used up by that."""
        given = list(args)
        options = given[: given.index("--")] if "--" in given else given
        as_json = "--json" in options and any("--json" in one.opts for one in self.params)
        with output.json_errors(as_json), output.errors_shown(), _misuse_as_json(as_json):
            if any(not one or one.endswith("=") for one in given):
                _refuse_empty(self.params, self.make_parser(ctx).parse_args(args=list(given))[0])
            return self._parsed(ctx, args, given)

    def _parsed(self, ctx: Any, args: list[str], given: list[str]) -> Any:
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


_MAY_BE_EMPTY = {"what", "retrieval_url", "access_log"}
"""Parameters for which an empty value means something; so it does for those whose default it is."""


def _refuse_empty(parameters: list[Any], given: Mapping[str, Any]) -> None:
    """Refuse empty values, as unset variables of scripts give them: an empty path would be the current folder.

    Raises:
        SettingsError: one is empty.
    """
    for one in parameters:
        value = given.get(one.name)
        if one.name in _MAY_BE_EMPTY or one.default == "":
            continue
        if value == "" or (isinstance(value, list | tuple) and "" in value):
            name = one.opts[0] if one.opts[0].startswith("-") else one.opts[0].upper()
            remedy = "give a value" if one.required else "give a value, or leave it out"
            raise SettingsError(f"{name} is empty: {remedy}")


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


@contextmanager
def _misuse_as_json(wanted: bool) -> Iterator[None]:
    """Within the block, wrong usage is an error like others if that is wanted, and not a box with a hint."""
    try:
        yield
    except _Misuse as error:
        if not wanted:
            raise
        raise SettingsError(error.format_message()) from None


def _with_json_errors(command: Callable[..., None]) -> Callable[..., None]:
    """The same command; given --json, it also shows errors as JSON."""

    @wraps(command)
    def run(**given: Any) -> None:
        as_json = bool(given.get("as_json"))
        with output.json_errors(as_json), output.errors_shown(), _misuse_as_json(as_json):
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
    group.command(name, cls=_OneCommand)(_with_json_errors(ending.ends_well(name, command)))


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
