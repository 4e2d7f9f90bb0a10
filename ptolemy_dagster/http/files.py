"""Files by path or CID: which CAR and piece holds each, and where in it.

A path is text: names joined by `/`, a backslash doubled, each byte of what isn't printable UTF-8 as `\\xNN` (see
`paths.escape`). What an answer shows can be sent back as it is. No character is a wildcard.
"""

import itertools
import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import computed_field

from ptolemy_core.catalog import Catalog, find, projects
from ptolemy_core.catalog.find import Found
from ptolemy_core.facts.files import FileFacts
from ptolemy_core.setting_checks import NAME_PATTERN
from ptolemy_core.tree import paths
from ptolemy_dagster.http.context import Context, opened
from ptolemy_dagster.http.paging import LINK, Limit, first_page, link_next, query_pairs
from ptolemy_dagster.http.problems import Problem, documented

router = APIRouter(tags=["files"])

_MAX_CURSOR = 10**9


class FileOut(FileFacts):
    """A file, a shard of a split file, a link or an empty folder, and which bytes of which CAR hold it."""

    @computed_field(description="The same as scan.")
    def version(self) -> int:
        """The scan that found it."""
        return self.scan


@router.get("/files", responses=LINK | documented(404, 422), summary="Files by path or CID")
def files(
    request: Request,
    response: Response,
    context: Annotated[Context, Depends(opened)],
    path: Annotated[
        str | None,
        Query(
            description="A file, or a folder for everything below it; empty: all files.",
            examples=["2019/a.jpg"],
        ),
    ] = None,
    cid: Annotated[
        str | None,
        Query(description="Of a file, shard, CAR or piece.", max_length=200, examples=["bafkreihdwd"]),
    ] = None,
    project: Annotated[
        str | None, Query(description="Look in this project only.", pattern=NAME_PATTERN, max_length=63)
    ] = None,
    limit: Limit = 1000,
    cursor: Annotated[int, Query(ge=0, le=_MAX_CURSOR, description="From the header Link.")] = 0,
) -> list[FileOut]:
    """Where files are: a row per file or shard. 404 if nothing matches."""
    if (path is None) == (cid is None):
        raise Problem(422, "bad-value", "give either path or cid: /v0/files?path=2019/a.jpg")
    if project is not None:
        projects.get(context.catalog, project)
    if cid is not None:
        found = _of_cid(context.catalog, cid, project)
    else:
        found = find.find_path(context.catalog, _path(request), project)
    page, more = first_page(list(itertools.islice(found, cursor, cursor + limit + 1)), limit)
    if not page:
        what = path if cid is None else cid
        raise Problem(
            404, "unknown-file", f"no file or CID matches {what!r}: give a path below target_dir, or a CID"
        )
    if more:
        link_next(request, response, cursor + limit)
    return FileOut.listed(context.catalog, page)


def _path(request: Request) -> str:
    """The path of the query as `find_path` takes it, bytes that aren't UTF-8 through surrogates."""
    given = next(value for name, value in reversed(query_pairs(request)) if name == b"path")
    try:
        return os.fsdecode(paths.to_slashes(paths.unescape(os.fsdecode(given))))
    except ValueError as error:
        raise Problem(422, "bad-value", f"path: {error}") from None


def _of_cid(catalog: Catalog, text: str, project: str | None) -> Iterator[Found]:
    try:
        yield from find.find_cid(catalog, text, project)
    except ValueError as error:
        raise Problem(422, "bad-value", f"cid: {error}") from None
