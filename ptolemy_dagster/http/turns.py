"""Requests that are answered together, by kind, and an answer's JSON as it is sent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Self

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.outage import is_away
from ptolemy_core.errors import UnknownProjectError
from ptolemy_core.project import Project
from ptolemy_dagster.http import defining
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.together import Together
from ptolemy_dagster.status import Status, statuses_of

_STATUSES = 64
"""Projects whose status is asked for at once."""

_READS = 8
"""Short reads in one thread, one after the other."""


@dataclass(frozen=True, slots=True)
class Turns:
    """What is answered together.

    Attributes:
        creating: projects, of settings with their names.
        statuses: settings and status of projects, by name.
        reads: short calls that read the catalog.
    """

    creating: Together[dict[str, Any], Project]
    statuses: Together[str, tuple[Project, Status]]
    reads: Together[Callable[[], Response], Response]

    @classmethod
    def of(cls, context: Context) -> Self:
        """Those of an application."""
        return cls(
            Together(partial(defining.create_together, context), threads=2, most=defining.MOST),
            Together(partial(_statuses, context), threads=1, most=_STATUSES),
            Together(_each, threads=2, most=_READS),
        )


async def _turns(request: Request) -> Turns:
    turns: Turns = request.app.state.turns
    return turns


InTurn = Annotated[Turns, Depends(_turns)]


def _each(calls: Sequence[Callable[[], Response]]) -> list[Response | Exception]:
    return [_called(call) for call in calls]


def _called(call: Callable[[], Response]) -> Response | Exception:
    try:
        return call()
    except Exception as error:
        return error


def _statuses(context: Context, names: Sequence[str]) -> list[tuple[Project, Status] | Exception]:
    """Settings and status of projects, or why there is none, in few statements for all."""
    try:
        found = statuses_of(context.catalog, context.dagster.runs, list(dict.fromkeys(names)))
    except Exception as error:
        if len(names) == 1 or is_away(error):
            raise
        return [answer for name in names for answer in _statuses_or_error(context, name)]
    return [found[name] if name in found else _unknown(context, name) for name in names]


def _statuses_or_error(context: Context, name: str) -> list[tuple[Project, Status] | Exception]:
    try:
        return _statuses(context, [name])
    except Exception as error:
        return [error]


def _unknown(context: Context, name: str) -> tuple[Project, Status] | Exception:
    """The error that there is no such project; its status if there is one now."""
    try:
        projects.get(context.catalog, name)
    except UnknownProjectError as error:
        return error
    return statuses_of(context.catalog, context.dagster.runs, [name])[name]


def as_json(answer: BaseModel) -> Response:
    """An answer as it is: FastAPI would check it once more."""
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")
