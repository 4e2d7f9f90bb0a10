"""What every request is given: catalog, Dagster and settings; and how work that waits is kept off the others."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from fastapi import Path, Request

from ptolemy_core.catalog import Catalog
from ptolemy_core.setting_checks import NAME_PATTERN
from ptolemy_dagster.http.answers import Bodies
from ptolemy_dagster.http.dagster_api import Dagster
from ptolemy_dagster.http.piece_app import PieceServer
from ptolemy_dagster.http.settings import ApiSettings

READERS = 4
"""Requests that read the catalog at once; with a connection or two each, they fit the catalog's pool of 8."""

_LAUNCHERS = 2
"""Requests that launch or end runs at once: they wait for Dagster, and must not keep the readers waiting."""

_P = ParamSpec("_P")
_T = TypeVar("_T")

Name = Annotated[
    str, Path(description="The project's name.", pattern=NAME_PATTERN, max_length=63, examples=["delta"])
]


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a running API.

    Attributes:
        pieces: the piece server at the same address; None if there is none.
        bodies: what downloads of CARs are sent with: the piece server's, if there is one.
    """

    catalog: Catalog
    dagster: Dagster
    settings: ApiSettings
    pieces: PieceServer | None = None
    bodies: Bodies = field(default_factory=Bodies)
    launchers: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_LAUNCHERS))


async def opened(request: Request) -> Context:
    """The context of the application that serves a request."""
    context: Context = request.app.state.context
    return context


async def in_thread(context: Context, call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    """Call what waits for Dagster in one of its own threads."""
    return await anyio.to_thread.run_sync(lambda: call(*arguments, **named), limiter=context.launchers)
