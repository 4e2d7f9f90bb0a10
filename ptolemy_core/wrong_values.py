"""What pydantic finds wrong with a value, as people say it: what must hold of it, and what it is."""

import json
from collections.abc import Mapping
from typing import Any

from ptolemy_core.setting_checks import NAME_PATTERN

_SHOWN = 200
"""Characters of a value in a message."""

_MUST: dict[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "isn't known here",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of usual size",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have at most {max_length} entries",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}
"""What must hold, by pydantic's name of the error; with the limits that the error carries."""

_PATTERNS = {NAME_PATTERN: "must be 1 to 63 letters, digits, - or _, starting with a letter or digit"}


def wrong_value(name: str, error: Mapping[str, Any]) -> str:
    """One of pydantic's errors about the value of this name, as a sentence."""
    kind, limits = error["type"], error.get("ctx", {})
    if kind in _MUST:
        must = _MUST[kind].format(**limits)
    elif kind == "string_pattern_mismatch":
        must = _PATTERNS.get(limits["pattern"], f"must match {limits['pattern']}")
    else:
        must = str(error["msg"]).replace("Input should ", "must ", 1)
    if kind in ("missing", "extra_forbidden"):
        return f"{name} {must}"
    return f"{name} {must}, got {_shown(error.get('input'))}"


def _shown(value: Any) -> str:
    """A value as it was given: what JSON writes in another way than Python, as JSON has it."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
