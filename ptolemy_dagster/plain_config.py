"""Run configuration that is taken as it is written.

Dagster's own fields for text, numbers and yes or no also take `{"env": "NAME"}` and read the environment of the
server: whoever may launch a run could have a password shown, in the run's error or by the mere check of the
configuration. These fields don't.
"""

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import dagster as dg

_PLAIN = (str, int, bool, float)


def plain(model: type[dg.Config]) -> dict[str, dg.Field]:
    """The schema of a model's fields: pass it as `config_schema`, and make the model of `op_config`."""
    fields: dict[str, dg.Field] = {}
    for name, field in model.model_fields.items():
        required = field.is_required()
        default = {} if required else {"default_value": field.get_default(call_default_factory=True)}
        fields[name] = dg.Field(
            _type(name, field.annotation), is_required=required, description=field.description, **default
        )
    return fields


def _type(name: str, annotation: Any) -> Any:
    if annotation in _PLAIN:
        return annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is list:
        return dg.Array(_type(name, arguments[0]))
    if get_origin(annotation) in (Union, UnionType) and NoneType in arguments and len(arguments) == 2:
        return dg.Noneable(_type(name, next(one for one in arguments if one is not NoneType)))
    raise TypeError(
        f"{name} is of type {annotation}: only text, numbers, yes or no, and lists of them are offered"
    )
