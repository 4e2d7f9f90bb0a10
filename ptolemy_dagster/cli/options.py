"""Options of commands, made from the settings of a project."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from ptolemy_core.settings import SETTINGS, Setting

_Command = TypeVar("_Command", bound=Callable[..., None])
_SHORT = {"target_dir": "-t", "staging_dir": "-s"}


def option_name(setting: str) -> str:
    """The option of a setting: `--target-dir`."""
    return "--" + setting.replace("_", "-")


def _help(setting: Setting) -> str:
    text = setting.description[0].upper() + setting.description[1:]
    return text + ("; repeatable." if setting.type == list[str] else ".")


def _parameter(setting: Setting, default: Any) -> inspect.Parameter:
    """An option of a command; `default` is what the command gets where it isn't given."""
    names = [option_name(setting.name)]
    if setting.type is bool:
        names[0] += "/--no-" + setting.name.replace("_", "-")
    if setting.name in _SHORT:
        names.append(_SHORT[setting.name])
    plain = str if setting.type is int else setting.type  # a number's check names the value, limit and remedy
    kind = plain | None if default is None else plain
    metavar = "<int>" if setting.type is int else None
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, typer.Option(*names, metavar=metavar, help=_help(setting))],
    )


def _with_parameters(command: _Command, new: list[inspect.Parameter]) -> _Command:
    """The command with these options in place of its `**settings`."""
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind != inspect.Parameter.VAR_KEYWORD]
    first = [p for p in own if p.kind != inspect.Parameter.KEYWORD_ONLY]
    last = [p for p in own if p.kind == inspect.Parameter.KEYWORD_ONLY]
    command.__signature__ = signature.replace(parameters=[*first, *new, *last])  # type: ignore[attr-defined]
    return command


def creating(command: _Command) -> _Command:
    """Give a command an option for each setting but the name, with its default."""
    return _with_parameters(
        command,
        [
            _parameter(setting, inspect.Parameter.empty if setting.required else setting.default)
            for setting in SETTINGS.values()
            if setting.name != "name"
        ],
    )


PREPARING = ("car_size", "shard_size", "include", "exclude", "hidden", "on_error", "car_sha256")
"""Settings that say what CARs hold, and not how a project is run."""


def preparing(command: _Command) -> _Command:
    """Give a command an option for each setting that makes the same CARs of the same folder."""
    return _with_parameters(
        command, [_parameter(SETTINGS[name], SETTINGS[name].default) for name in PREPARING]
    )


def changing(command: _Command) -> _Command:
    """Give a command an option for each setting that may change, None where it isn't given.

    Lists get an option that empties them too: `--no-include` gives the setting `no_include`.
    """
    new = []
    for setting in SETTINGS.values():
        if not setting.changeable:
            continue
        new.append(_parameter(setting, None))
        if setting.type == list[str]:
            empty = typer.Option(f"--no-{setting.name}", help=f"Remove all of {setting.name}.")
            new.append(
                inspect.Parameter(
                    f"no_{setting.name}",
                    inspect.Parameter.KEYWORD_ONLY,
                    default=False,
                    annotation=Annotated[bool, empty],
                )
            )
    return _with_parameters(command, new)
