"""The declarations of a project's settings, as values: for whatever shows, stores or accepts them."""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from ptolemy_core.project import Project


@dataclass(frozen=True, slots=True)
class Setting:
    """The declaration of a setting, for everything that shows or accepts it.

    Attributes:
        name: of the field.
        type: str, int or bool; list[str] for a list of texts. What may be None has it as its default.
        required: whether it has no default.
        default: its default, a list where the type is one.
        description: one line, lower case, without a full stop.
        changeable: whether it can be changed after the project was created.
    """

    name: str
    type: Any
    required: bool
    default: Any
    description: str
    changeable: bool


def _declared(name: str) -> Setting:
    field = Project.model_fields[name]
    origin, arguments = get_origin(field.annotation), get_args(field.annotation)
    listed = origin is tuple
    plain: Any = field.annotation
    if origin is Literal:
        plain = type(arguments[0])
    elif type(None) in arguments:
        plain = next(argument for argument in arguments if argument is not type(None))
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Setting(
        name=name,
        type=list[str] if listed else plain,
        required=field.is_required(),
        default=None if field.is_required() else list(field.default) if listed else field.default,
        description=field.description or "",
        changeable=bool(extra.get("changeable")),
    )


SETTINGS = {name: _declared(name) for name in Project.model_fields}
"""All settings, in the order in which they are shown."""

CHANGEABLE = tuple(name for name, setting in SETTINGS.items() if setting.changeable)
"""Settings that can be changed; the others determine the project's CARs."""
