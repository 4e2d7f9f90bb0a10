"""Files of a project for download: its manifest and summary, and the CARs in its staging folder."""

import os
from collections.abc import Iterator

from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse

from ptolemy_core.catalog import Catalog, cars, projects, roots, stored_cars
from ptolemy_core.project import Project
from ptolemy_core.stages.manifest import written_manifest
from ptolemy_core.staging.area import area_of
from ptolemy_core.staging.stored import OpenCar
from ptolemy_dagster.http.context import Context
from ptolemy_dagster.http.problems import Problem
from ptolemy_dagster.roots import require_inside

_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".jsonl": "application/jsonl",
    ".json": "application/json",
}
_PART = 4 << 20
CAR_TYPE = "application/vnd.ipld.car; version=1"


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


def car(context: Context, name: str, number: str) -> Response:
    """A CAR of a project in its staging folder, or generated; number "root" is the CAR of its root.

    The download of a generated CAR is cut off if its source changes.

    Raises:
        UnknownProjectError: no such project.
        DeadCarError, OutlineError: it can't be generated.
        Problem: 404, there is no such CAR, or it isn't in the staging folder.
    """
    project = _project(context, name)
    if number.isascii() and number.isdecimal() and len(number) < 10:
        row = next(cars.rows(context.catalog, name, int(number)), None)
        if row is not None and row.is_generated:
            return _generated(stored_cars.of_row(project, row).open())
    file = _car_file(context.catalog, name, number)
    found = area_of(project).look(file) if file else None
    if file is None or found is None or not found.regular:
        raise Problem(404, "unknown-car", f"CAR {number} of project {name!r} isn't in its staging folder")
    return _file(area_of(project).path(file), CAR_TYPE)


def _generated(opened: OpenCar) -> Response:
    def parts() -> Iterator[bytes]:
        with opened:
            yield from opened.ranges(0, opened.size, _PART)

    headers = {
        "Content-Length": str(opened.size),
        "Content-Disposition": f'attachment; filename="{opened.name}"',
    }
    return StreamingResponse(parts(), media_type=CAR_TYPE, headers=headers)


def _car_file(catalog: Catalog, name: str, number: str) -> str | None:
    if number == "root":
        top = next(roots.rows(catalog, name), None)
        return top.file_name if top else None
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        return None
    row = next(cars.rows(catalog, name, int(number)), None)
    return row.file_name if row else None


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
            f"project {name!r} has no manifest yet: run it (POST /v0/onboard/{name}) first",
        )
    return path


def _file(path: str, kind: str | None = None) -> FileResponse:
    media = kind or _TYPES.get(os.path.splitext(path)[1], "application/octet-stream")
    return FileResponse(path, media_type=media, filename=os.path.basename(path))
