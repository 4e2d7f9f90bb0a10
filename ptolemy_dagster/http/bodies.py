"""Bodies of requests: JSON whatever content type they claim, since curl's `-d` claims that it is a form."""

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from ptolemy_core.wrong_values import wrong_value
from ptolemy_dagster.http.problems import Problem

_Model = TypeVar("_Model", bound=BaseModel)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises:
        Problem: 400, it isn't JSON; 422, it isn't an object, or has a key twice.
    """
    try:
        found = json.loads(body, object_pairs_hook=_once)
    except RecursionError:
        raise Problem(
            400, "not-json", "the body isn't JSON that can be read: it is nested too deeply"
        ) from None
    except ValueError as error:
        raise Problem(400, "not-json", f"the body isn't JSON: {_why(error)}") from None
    if not isinstance(found, dict):
        raise Problem(422, "bad-value", f"the body must be a JSON object, got {json.dumps(found)[:100]}")
    return found


def described(schema: dict[str, Any]) -> dict[str, Any]:
    """A body with this schema, for the OpenAPI description."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def posted(model: type[_Model]) -> Callable[[Request], Awaitable[_Model]]:
    """What reads a body of this model: a dependency of a route, whose description needs `described`."""

    async def read(request: Request) -> _Model:
        found = json_object(await request.body())
        try:
            return model.model_validate(found)
        except ValidationError as error:
            reasons = (wrong_value(".".join(map(str, one["loc"])), one) for one in error.errors())
            raise Problem(422, "bad-value", "; ".join(reasons)) from None

    return read


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: of two values nobody knows which one is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(422, "bad-value", f"{twice[:100]!r} is in the body more than once: give it once")
    return found


def _why(error: ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"its byte {error.start} isn't UTF-8"
    if isinstance(error, json.JSONDecodeError):
        return str(error)
    return "it has a number with thousands of digits"
