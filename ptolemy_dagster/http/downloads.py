"""Files of a project for download: its manifest and summary, and the CARs in its staging folder."""

import os

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from ptolemy_core.catalog import Catalog, cars, projects, roots, stored_cars
from ptolemy_core.catalog.served import HeldCar
from ptolemy_core.gateway.access import Grant
from ptolemy_core.gateway.answer import Answer, Refusal
from ptolemy_core.gateway.piece import answer_car
from ptolemy_core.project import Project
from ptolemy_core.stages.manifest import written_manifest
from ptolemy_core.staging.stored import StoredCar
from ptolemy_dagster.http import problems
from ptolemy_dagster.http.answers import FAULTS, Bodies, Exchange, fault_of
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.roots import require_inside

_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".jsonl": "application/jsonl",
    ".json": "application/json",
}


def manifest(context: Context, name: str) -> FileResponse:
    """The newest manifest of a project.

    Raises:
        UnknownProjectError: no such project.
        Problem: 404, none is written yet.
    """
    return _file(_manifest_path(context, name))


def summary(context: Context, name: str) -> FileResponse:
    """The summary of the CARs of a project, as JSON; raises as `manifest`."""
    folder, file = os.path.split(_manifest_path(context, name))
    return _file(os.path.join(folder, file.split(".manifest.")[0] + ".summary.json"))


def car(context: Context, name: str, number: str, request: Request) -> Response:
    """A CAR of a project in its staging folder, or generated; number "root" is the CAR of its root.

    Ranges, HEAD and conditions are those of `/piece/`; a generated CAR is cut off if its source changes. Other sites
    may not read it.

    Raises:
        UnknownProjectError: no such project.
        DeadCarError, OutlineError: it can't be generated.
        Problem: 404, there is no such CAR, or it isn't in the staging folder.
    """
    project = _project(context, name)
    stored = _stored(context.catalog, project, number)
    found = stored.look() if stored else None
    if stored is None or not (stored.generated or (found is not None and found.regular)):
        raise Problem(404, "unknown-car", f"CAR {number} of project {name!r} isn't in its staging folder")
    held = HeldCar(stored, False, None, 0)
    context.bodies.library.first_of([held])
    answer = answer_car(held, request.method, request.headers, {"Cache-Control": "no-cache, no-transform"})
    return _CarResponse(context.bodies, answer)


class _CarResponse(Response):
    """Bytes of a CAR, sent as pieces are."""

    def __init__(self, bodies: Bodies, answer: Answer | Refusal) -> None:
        super().__init__()
        self._bodies = bodies
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        exchange = Exchange.of(scope)
        exchange.grant = Grant.ALL
        refusal = self._answer
        if not isinstance(refusal, Refusal):
            try:
                await self._bodies.fulfil(exchange, refusal, send)
                return
            except FAULTS as error:
                if exchange.status:
                    raise
                refusal = fault_of(exchange, error)
        problem = Problem(refusal.status, refusal.code, refusal.detail, headers=refusal.headers)
        await problems.response(problem)(scope, receive, send)


def _stored(catalog: Catalog, project: Project, number: str) -> StoredCar | None:
    if number == "root":
        top = next(roots.rows(catalog, project.name), None)
        return stored_cars.of_root(project, top) if top else None
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        return None
    row = next(cars.rows(catalog, project.name, int(number)), None)
    return stored_cars.of_row(project, row) if row else None


def _project(context: Context, name: str) -> Project:
    project = projects.get(context.catalog, name)
    require_inside(project, context.settings.roots)
    return project


def _manifest_path(context: Context, name: str) -> str:
    path = written_manifest(_project(context, name))
    if path is None:
        raise Problem(
            404,
            "no-manifest",
            f"project {name!r} has no manifest yet: POST /v0/manifest/{name} writes it",
        )
    return path


def _file(path: str) -> FileResponse:
    media = _TYPES.get(os.path.splitext(path)[1], "application/octet-stream")
    return FileResponse(path, media_type=media, filename=os.path.basename(path))
