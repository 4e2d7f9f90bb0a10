"""The page of a request that can't be answered: what a browser shows where a program gets a problem as JSON."""

from starlette.responses import HTMLResponse, Response

from ptolemy_dagster.http.pages.frame import page
from ptolemy_dagster.http.pages.markup import link, tag
from ptolemy_dagster.http.problems import Problem

_TITLES = {404: "Not found", 422: "Wrong value"}


def refused(problem: Problem, ui_url: str) -> Response:
    """A problem as a page."""
    text = page(
        _TITLES.get(problem.status_code, "That didn't work"),
        tag("p", problem.detail, class_="reason"),
        tag("p", link("All projects", "/")),
        ui_url=ui_url,
        refreshable=False,
    )
    return HTMLResponse(text, problem.status_code, problem.headers)
