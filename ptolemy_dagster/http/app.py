"""The application: resources, errors and protection, assembled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ptolemy_core.catalog import Catalog
from ptolemy_core.errors import UnavailableError
from ptolemy_dagster.http import (
    carfile_meta,
    dataset,
    deals,
    files,
    metrics,
    problems,
    projects,
    release,
    runs,
    stages,
    workers,
)
from ptolemy_dagster.http.context import READERS, Context
from ptolemy_dagster.http.docs_page import render
from ptolemy_dagster.http.failsafe import Failsafe
from ptolemy_dagster.http.guard import SiteGuard, TokenGuard
from ptolemy_dagster.http.limits import BodyLimit, PlainPath, RateLimit
from ptolemy_dagster.http.methods import Head
from ptolemy_dagster.http.pages.refused import refused
from ptolemy_dagster.http.pages.routes import is_page, pages
from ptolemy_dagster.http.short import Short
from ptolemy_dagster.http.turns import Turns
from ptolemy_dagster.http.web_ui import PAGE_HEADERS, SIGN_IN, Access, UiGuard

_DESCRIPTION = (
    "Folders become verified Filecoin pieces. The stages of a project are create → scan → containerize → blitz; "
    "each stage is a Dagster run, which is launched at once; GET /v0/projects/NAME shows its progress. All errors "
    "are problem details (RFC 9457). A trailing slash makes no difference."
)

_HEALTH_SECONDS = 4.0
_ASKING = 2
"""Threads of /health: other requests may all wait for a database that hangs."""


def create_app(context: Context) -> ASGIApp:
    """The API as an ASGI application."""
    app = api(context)
    settings = context.settings
    short = Short(app, context, app.state.turns)
    protected: ASGIApp = BodyLimit(PlainPath(short), settings.max_body)
    # what is refused for its site is no request of this address's user, and takes none of the rate
    guarded = SiteGuard(RateLimit(TokenGuard(protected, settings.token), settings.rate), settings)
    shown = PlainPath(pages(context))
    # a person signs in where a program sends its token; the same cookie speaks for Dagster's web UI
    for_people = UiGuard(
        shown, Access.of(settings).at("/"), any_name=settings.hosts is None, headers=PAGE_HEADERS
    )
    return Failsafe(Head(_Pages(RateLimit(for_people, settings.rate), guarded)))


class _Pages:
    """Sends requests for our own pages to them, and all others to the API."""

    def __init__(self, shown: ASGIApp, api: ASGIApp) -> None:
        self._shown = shown
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_shown = scope["type"] == "http" and (is_page(scope["path"]) or scope["path"] == SIGN_IN)
        await (self._shown if is_shown else self._api)(scope, receive, send)


def api(context: Context) -> FastAPI:
    """The resources alone, without protection."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = READERS
        yield

    app = FastAPI(
        title="Ptolemy",
        version="0",  # the API's, as in its addresses
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.context = context
    app.state.turns = Turns.of(context)
    asking = anyio.CapacityLimiter(_ASKING)
    problems.install(app, lambda problem: refused(problem, context.dagster.ui_url))
    for resource in (projects, stages, carfile_meta, files, dataset, release, runs, workers, deals):
        app.include_router(resource.router, prefix="/v0")
    app.include_router(metrics.router)

    @app.get("/health", responses=problems.documented(503), tags=["server"], summary="Is it alive")
    async def health() -> dict[str, str]:
        """Whether the catalog answers, soon."""
        with anyio.move_on_after(_HEALTH_SECONDS):
            await anyio.to_thread.run_sync(_ask, context.catalog, limiter=asking, abandon_on_cancel=True)
            return {"status": "ok"}
        raise UnavailableError(f"the database didn't answer for {_HEALTH_SECONDS} s")

    @app.get("/docs", include_in_schema=False, response_class=HTMLResponse)
    def docs() -> str:
        return render(app.openapi())

    _complete(app.openapi())
    return app


def _ask(catalog: Catalog) -> None:
    with catalog.read() as connection:
        connection.execute(sa.select(1))


def _complete(schema: dict[str, Any]) -> None:
    """Add what FastAPI can't know; it keeps the schema that it has made once."""
    schema["components"]["schemas"]["ProblemDetails"] = problems.ProblemDetails.model_json_schema()
    schema["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "Where the server was started with one."}
    }
    schema["security"] = [{}, {"token": []}]
