"""The page of all projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ptolemy_core.sizes import counted, duration, readable
from ptolemy_core.stages.replication import Replication
from ptolemy_core.status.rate import blitz_progress
from ptolemy_dagster.http.pages.frame import page
from ptolemy_dagster.http.pages.markup import Html, bar, free, link, table, tag
from ptolemy_dagster.status import Status

_HEADER = (
    "project",
    "state",
    "progress",
    "bytes of CARs",
    "CARs built",
    "rate",
    "time left",
    "verified",
    "delivered",
    "replicated",
    "in no CAR",
)


@dataclass(frozen=True, slots=True)
class Line:
    """A project in the list: its status, and its replicas if it is to have some."""

    status: Status
    replicas: Replication | None


def overview(lines: Sequence[Line], following: str | None, ui_url: str, refresh: int) -> str:
    """The page; `following` is the address of the next projects, if there are more."""
    found = [one.status for one in lines]
    if not found:
        content: list[object] = [
            tag("p", "No project is defined yet. Define one on the command line:"),
            tag("pre", "ptolemy create NAME --target-dir FOLDER --staging-dir FOLDER"),
            tag("p", "or over HTTP, see ", link("the API", "/docs"), "."),
        ]
    else:
        content = [table("Projects", _HEADER, (_row(one) for one in lines)), _reasons(found)]
    if following:
        content.append(tag("p", link("More projects", following)))
    return page("Projects", *content, ui_url=ui_url, refresh=refresh)


def _row(line: Line) -> tuple[object, ...]:
    one, state = line.status, line.status.state
    whole = blitz_progress(state)
    name = link(one.project, f"/projects/{quote(one.project)}")
    if not state.containers:
        return (name, state_text(one), "", "", "", "", "", "", "", "", _left_out(one))
    return (
        name,
        state_text(one),
        bar(whole.share, f"{whole.share:.0%} of the bytes of all CARs"),
        f"{readable(whole.done)} of {readable(whole.total or 0)}",
        f"{state.built:,} of {state.containers:,}",
        f"{readable(whole.rate)}/s" if whole.rate else "",
        "" if whole.seconds_left is None else duration(whole.seconds_left),
        f"{state.verified:,}",
        f"{state.delivered:,}",
        replicated(line.replicas),
        _left_out(one),
    )


def replicated(found: Replication | None) -> str:
    """How many pieces have enough active deals; empty where none are wanted."""
    return "" if found is None else f"{found.replicated:,} of {counted(found.pieces, 'piece')}"


def state_text(one: Status) -> Html:
    """A project's state; failures and ends are marked by colour and said by words."""
    kind = "bad" if one.reason else "good" if one.text.endswith("complete") else None
    return tag("span", one.text, class_=kind)


def _left_out(one: Status) -> object:
    total = one.state.not_stored.total
    return link(f"{total:,}", f"/projects/{quote(one.project)}#skipped") if total else 0


def _reasons(found: Sequence[Status]) -> Html | None:
    failed = [one for one in found if one.reason]
    if not failed:
        return None
    rows = ((link(one.project, f"/projects/{quote(one.project)}"), free(reason(one))) for one in failed)
    return Html(tag("h2", "What failed") + table("Failed runs", ("project", "reason"), rows))


def reason(one: Status) -> Html:
    """Why the last run failed."""
    return tag("span", one.reason, class_="bad reason")
