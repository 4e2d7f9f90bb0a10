"""Metadata as a person reads it: sizes with units, CIDs as code, Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import dagster as dg

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.progress import RunningTask
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.facts.fields import Facts, Unit, size_text, text_of, title_of, unit_of
from ptolemy_core.sizes import duration, readable
from ptolemy_core.status.rate import Progress

_ROWS = 200


def table(header: Sequence[str], rows: Iterable[Sequence[object]], rest: str = "") -> dg.MetadataValue:
    """A Markdown table; a long one is cut, and says so, and where the rest is; without rows it is the word none."""
    kept = list(rows)
    if not kept:
        return dg.MetadataValue.md("none")
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in kept[:_ROWS]]
    if len(kept) > _ROWS:
        lines.append(f"\n… and {len(kept) - _ROWS:,} more" + (f": {rest}" if rest else ""))
    return dg.MetadataValue.md("\n".join(lines))


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def size(value: int) -> str:
    """Bytes with their readable form."""
    return size_text(value)


def waiting(rows: Iterable[Waiting]) -> str:
    """What a serial project waits for."""
    for row in rows:
        return f"{size(row.bytes)} to leave staging_dir, before CAR {row.number:06d}"
    return "nothing"


def link(text: str, asset: str, partition: str) -> str:
    """A Markdown link to a partition of an asset, relative to the page of a run or of an asset.

    It holds behind a proxy's path prefix too. Paths of the UI have two parts there, as runs/ID and assets/KEY.
    """
    return f"[{text}](../assets/{asset}?view=partitions&partition={quote(partition, safe='')})"


def bar(share: float, width: int = 24) -> str:
    """A bar of text: `██████░░░░`."""
    full = round(min(max(share, 0.0), 1.0) * width)
    return f"`{'█' * full}{'░' * (width - full)}`"


def progress(now: Progress) -> dict[str, str | int | dg.MetadataValue]:
    """Progress of work in bytes."""
    return {
        "progress": dg.MetadataValue.md(f"{bar(now.share)} {now.share:.1%}"),
        "done": f"{readable(now.done)} of {readable(now.total or 0)}",
        "rate": f"{readable(now.rate)}/s",
        "time left": "unknown" if now.seconds_left is None else duration(now.seconds_left),
    }


def task_table(tasks: Iterable[RunningTask]) -> dg.MetadataValue:
    """CARs under way."""
    builds = [task for task in tasks if task.is_build]
    return table(
        ("CAR", "done", "of"),
        ((f"{t.task.container:06d}", readable(t.done), readable(t.total or 0)) for t in builds),
    )


_CAR_METADATA = (
    "piece_cid",
    "payload_cid",
    "piece_cid_v2",
    "car_size",
    "piece_size",
    "data_bytes",
    "items",
    "sha256",
    "file_name",
    "car_storage",
)
_ROOT_METADATA = (
    "root_cid",
    "entries",
    "data_bytes",
    "left_out",
    "blocks",
    "piece_cid",
    "piece_cid_v2",
    "car_size",
    "piece_size",
    "sha256",
    "file_name",
    "scan",
)


def of_cars(cars: Sequence[CarRow]) -> dict[str, str | int | float]:
    """Sums over the CARs of a project: as numbers, so that they are plotted over time, and as text to read."""
    size, pieces = sum(row.car_size for row in cars), sum(row.piece_size for row in cars)
    seconds = sum(row.build_seconds for row in cars)
    return {
        "CARs": len(cars),
        "size": f"{readable(size)} in pieces of {readable(pieces)}",
        "CAR bytes": size,
        "piece bytes": pieces,
        "padding, % of the pieces": round(100 * (1 - size / max(1, pieces)), 2),
        "MB per second and CAR": round(size / 1e6 / max(seconds, 1e-3), 1),
    }


def unless_empty(
    rows: Mapping[str, str | int | dg.MetadataValue],
) -> dict[str, str | int | dg.MetadataValue]:
    """The rows that have something to say: no zeros, no empty text."""
    return {name: value for name, value in rows.items() if value not in (0, "")}


def car_metadata(car: CarRow) -> Mapping[str, dg.MetadataValue | int | float]:
    """Metadata of one CAR's materialization."""
    from ptolemy_core.facts.cars import CarFacts  # a scan or a verification shows none

    return {
        **_metadata(CarFacts.of(car), _CAR_METADATA),
        "CAR bytes": car.car_size,
        "piece bytes": car.piece_size,
        "data, % of the piece": round(100 * car.data_bytes / car.piece_size, 2),
        "project": dg.MetadataValue.md(link(car.project, "built_cars", car.project)),
        "build seconds": round(car.build_seconds, 3),
        "MB per second": round(car.car_size / 1e6 / max(car.build_seconds, 1e-3), 1),
    }


def root_metadata(root: RootRow) -> Mapping[str, dg.MetadataValue | int | float]:
    """Metadata of a data set root's materialization."""
    from ptolemy_core.facts.cars import RootFacts

    return _metadata(RootFacts.of(root), _ROOT_METADATA)


def _metadata(facts: Facts, names: Iterable[str]) -> dict[str, dg.MetadataValue | int | float]:
    """Fields of facts under their titles: numbers as numbers, CIDs and digests as code."""
    found: dict[str, dg.MetadataValue | int | float] = {}
    for name in names:
        value, unit = getattr(facts, name), unit_of(type(facts), name)
        if value is None:
            continue
        if unit in (Unit.CID, Unit.HEX):
            shown: dg.MetadataValue | int = dg.MetadataValue.md(f"`{value}`")
        elif unit is None and isinstance(value, int):
            shown = value
        else:
            shown = dg.MetadataValue.text(text_of(facts, name))
        found[title_of(type(facts), name)] = shown
    return found


def car_table(cars: Iterable[CarRow]) -> dg.MetadataValue:
    """A project's CARs; the CIDs, which are long, in the last columns."""
    from ptolemy_core.facts.cars import CarFacts

    names = ("container", "car_size", "piece_size", "items", "car_storage", "payload_cid", "piece_cid")
    kept = [CarFacts.of(row) for row in cars]
    return table(
        [title_of(CarFacts, name) for name in names],
        (
            (
                link(f"{car.container:06d}", "car", f"{car.project}|{car.container:06d}"),
                _unbroken(readable(car.car_size)),
                _unbroken(readable(car.piece_size)),
                f"{car.items:,}",
                "dead" if car.dead_at else car.car_storage,
                f"`{car.payload_cid}`",
                f"`{car.piece_cid}`",
            )
            for car in kept
        ),
        f"`ptolemy cars {kept[0].project}` lists all of them, and each is a partition of asset `car`"
        if kept
        else "",
    )


def _unbroken(text: str) -> str:
    """In one line, in a narrow column too."""
    return text.replace(" ", "\N{NO-BREAK SPACE}")


def plan_table(project: str, containers: Iterable[ContainerRow]) -> dg.MetadataValue:
    """A project's containers; the number of a built one leads to its CAR."""
    from ptolemy_core.facts.cars import PlannedCarFacts

    names = ("container", "items", "data_bytes", "car_size", "piece_size", "padding", "built")
    return table(
        [title_of(PlannedCarFacts, name) for name in names],
        (
            (
                link(f"{car.container:06d}", "car", f"{project}|{car.container:06d}")
                if car.built
                else f"{car.container:06d}",
                f"{car.items:,}",
                readable(car.data_bytes),
                readable(car.car_size),
                readable(car.piece_size),
                f"{car.padding / car.piece_size:.1%}",
                "yes" if car.built else "",
            )
            for car in map(PlannedCarFacts.of, containers)
        ),
    )
