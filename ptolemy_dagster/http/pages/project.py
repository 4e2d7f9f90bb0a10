"""The page of one project."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from ptolemy_core.car.outlined import outline_name
from ptolemy_core.catalog.cars import GENERATED, CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.skipped import Skipped
from ptolemy_core.facts.cars import CarFacts, RootFacts
from ptolemy_core.facts.fields import text_of
from ptolemy_core.project import Project
from ptolemy_core.settings import SETTINGS
from ptolemy_core.sizes import counted, duration, readable
from ptolemy_core.stages.replication import Replication
from ptolemy_core.status.builds import BuildPeriod
from ptolemy_core.status.rate import blitz_progress, describe_task
from ptolemy_dagster.http.pages import plots
from ptolemy_dagster.http.pages.frame import page
from ptolemy_dagster.http.pages.markup import Html, bar, cid, facts, free, joined, link, table, tag
from ptolemy_dagster.http.pages.overview import reason, replicated, state_text
from ptolemy_dagster.status import Status

ASSETS = ("scan_result", "container_plan", "built_cars", "dataset_root", "manifest")


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run as the page lists it."""

    run_id: str
    job: str
    status: str
    began: str
    said: str


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a project's page shows.

    Attributes:
        status, settings: of the project.
        cars: a page of its CARs; `first` is the number of the first, `following` the address of the next page.
        sizes: of files in the staging folder, by name; None: it can't be read.
        root: the newest root of the data set.
        plan, period: for the plots.
        skipped: some entries that are in no CAR, and how many there are.
        manifest: whether one is written.
        replicas: of its pieces, if there are to be some.
        deals: provider, state, number and padded bytes.
        runs: the last runs.
    """

    status: Status
    settings: Project
    cars: Sequence[CarRow]
    following: str | None
    sizes: dict[str, int] | None
    root: RootRow | None
    plan: Sequence[ContainerRow]
    period: BuildPeriod | None
    skipped: Sequence[Skipped]
    manifest: bool
    replicas: Replication | None
    deals: Sequence[tuple[str, str, int, int]]
    runs: Sequence[RunLine]


def project_page(shown: Shown, ui_url: str, refresh: int) -> str:
    """The page."""
    name = shown.status.project
    return page(
        name,
        _state(shown),
        tag("h2", "Pieces"),
        plots.fill(shown.plan),
        tag("h2", "Throughput"),
        plots.throughput(shown.period),
        tag("h2", "CARs", id="cars"),
        _cars(shown),
        tag("h2", "Deals", id="deals"),
        _deals(shown),
        tag("h2", "Files in no CAR", id="skipped"),
        _skipped(shown),
        tag("h2", "Runs"),
        _runs(shown, ui_url),
        tag("h2", "Settings"),
        facts((one, _said(getattr(shown.settings, one))) for one in SETTINGS),
        ui_url=ui_url,
        refresh=refresh,
    )


def _state(shown: Shown) -> Html:
    status, state = shown.status, shown.status.state
    whole = blitz_progress(state)
    pairs: list[tuple[str, object]] = [("State", state_text(status))]
    if status.reason:
        pairs.append(("Why it failed", reason(status)))
    if status.remarks:
        pairs.append(("Remark", status.remarks))
    if state.containers:
        pairs += [
            ("Progress", bar(whole.share, f"{whole.share:.0%} of the bytes of all CARs")),
            ("Bytes of CARs", f"{readable(whole.done)} of {readable(whole.total or 0)}"),
            ("CARs built", f"{state.built:,} of {state.containers:,}"),
            ("Rate", f"{readable(whole.rate)}/s" if whole.rate else ""),
            ("Time left", "" if whole.seconds_left is None else duration(whole.seconds_left)),
            ("Verified", f"{state.verified:,} of {counted(state.built, 'CAR')}"),
            ("Delivered", f"{state.delivered:,} of {counted(state.built, 'CAR')}"),
        ]
    if shown.replicas is not None:
        wanted = f"{counted(shown.replicas.replicas or 0, 'active deal')} each"
        pairs.append(("Replicated", f"{replicated(shown.replicas)} have {wanted}"))
    if state.waiting is not None:
        pairs.append(("Waits for", f"{readable(state.waiting.bytes)} to leave {shown.settings.staging_dir}"))
    tasks = [(str(task.task), describe_task(task)) for task in state.tasks]
    under_way = (tag("h2", "Under way"), table("Under way", ("task", "progress"), tasks)) if tasks else ()
    return joined((facts(pairs), *under_way, _downloads(shown)))


def _downloads(shown: Shown) -> Html | None:
    base = f"/projects/{quote(shown.status.project)}"
    links = []
    if shown.manifest:
        links += [link("Manifest", f"{base}/manifest"), link("Summary of the CARs (JSON)", f"{base}/summary")]
    if shown.root is not None and _is_there(shown, shown.root.file_name, shown.root.car_size):
        links.append(link("CAR of the root", f"{base}/cars/root"))
    if not links:
        return None
    items = [tag("li", one) for one in links]
    return tag("section", tag("h2", "Downloads"), tag("ul", items), aria_label="Downloads")


def _is_there(shown: Shown, name: str, size: int) -> bool:
    return shown.sizes is not None and shown.sizes.get(name) == size


def _cars(shown: Shown) -> list[object]:
    if not shown.cars and shown.root is None:
        return [tag("p", "No CAR is built yet.", class_="soft")]
    header = ("CAR", "size", "piece", "items", "verified", "where", "payload CID, and piece CID below it")
    rows: list[Sequence[object]] = []
    if shown.root is not None:
        rows.append(_root_row(shown, RootFacts.of(shown.root)))
    rows += [_car_row(shown, CarFacts.of(row)) for row in shown.cars]
    out: list[object] = [
        tag("p", "Click a CID to select all of it.", class_="soft"),
        table("CARs of this project", header, rows),
    ]
    if shown.following:
        out.append(tag("p", link("More CARs", shown.following)))
    return out


def _root_row(shown: Shown, root: RootFacts) -> Sequence[object]:
    return (
        "root",
        readable(root.car_size),
        readable(root.piece_size),
        f"{root.blocks:,} blocks",
        "",
        _where(shown, root, "root"),
        _cids(root.root_cid, root.piece_cid),
    )


def _car_row(shown: Shown, car: CarFacts) -> Sequence[object]:
    return (
        f"{car.container:06d}",
        readable(car.car_size),
        readable(car.piece_size),
        f"{car.items:,}",
        text_of(car, "verified_at"),
        _where(shown, car, str(car.container)),
        _cids(car.payload_cid, car.piece_cid),
    )


def _cids(payload: str, piece: str) -> Html:
    return tag("div", cid(payload), cid(piece), class_="cids")


def _where(shown: Shown, car: CarFacts | RootFacts, number: str) -> object:
    """Where a CAR is: a link to it, and where it was delivered to."""
    parts: list[object] = []
    generated = isinstance(car, CarFacts) and car.car_storage == GENERATED
    if isinstance(car, CarFacts) and car.dead_at is not None:
        parts.append(tag("span", f"dead: {car.dead_reason}", class_="bad"))
    elif generated and shown.sizes is not None and outline_name(car.file_name) in shown.sizes:
        parts.append("generated, ")
    if parts == ["generated, "] or (not generated and _is_there(shown, car.file_name, car.car_size)):
        address = f"/projects/{quote(shown.status.project)}/cars/{number}"
        parts.append(tag("a", "download", href=address, aria_label=f"Download CAR {number}"))
    if car.delivered_at is not None:
        parts.append((", " if parts else "") + f"delivered {car.delivered_to or ''}".strip())
    if not parts:
        known = "missing" if shown.sizes is not None else "not known: staging_dir can't be read"
        return tag("span", known, class_="bad")
    return parts


def _skipped(shown: Shown) -> Html:
    total = shown.status.state.not_stored.total
    if not shown.skipped:
        return tag("p", "Every entry of the last scan is in a CAR, or will be.", class_="soft")
    rows = (
        (
            tag("code", one.path),
            free(one.reason),
            one.stage,
            "" if one.container is None else f"{one.container:06d}",
        )
        for one in shown.skipped
    )
    found = table("Entries that are in no CAR", ("path", "reason", "found by", "CAR"), rows)
    if total > len(shown.skipped):
        more = f"These are the first {len(shown.skipped):,} of {total:,}: "
        command = tag("code", f"ptolemy skipped {shown.status.project} --current")
        return Html(found + tag("p", more, command, " lists all."))
    return found


def _deals(shown: Shown) -> Html:
    if not shown.deals:
        return tag("p", "No deal is made yet.", class_="soft")
    rows = ((provider, state, f"{number:,}", readable(size)) for provider, state, number, size in shown.deals)
    return table("Deals with providers", ("provider", "state", "deals", "padded bytes"), rows)


def _runs(shown: Shown, ui_url: str) -> list[object]:
    partition = quote(shown.status.project, safe="")
    assets: list[object] = []
    for name in ASSETS:
        assets += [link(name, f"{ui_url}/assets/{name}?view=partitions&partition={partition}"), " "]
    where = tag("p", "Assets in Dagster: ", assets)
    if not shown.runs:
        return [where, tag("p", "No run yet.", class_="soft")]
    rows = (
        (link(one.run_id[:8], f"{ui_url}/runs/{one.run_id}"), one.job, one.status, one.began, one.said)
        for one in shown.runs
    )
    return [where, table("Last runs", ("run", "job", "status", "began", "last said"), rows)]


def _said(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "  ".join(value)
    return value if value is None or isinstance(value, str) else str(value)
