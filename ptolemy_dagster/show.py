"""Metadata as a person reads it: sizes with units, CIDs as code, Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

import dagster as dg

from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.progress import RunningTask
from ptolemy_core.catalog.roots import RootRow
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.dag import cid
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
    return f"{readable(value)} ({value:,} bytes)"


def missing(cars: Sequence[CarRow]) -> str:
    """A sentence on CARs that are neither in staging nor marked as delivered; empty if there are none."""
    if not cars:
        return ""
    names = ", ".join(f"{car.project}/{car.number}" for car in cars[:5]) + (", …" if len(cars) > 5 else "")
    return (
        f"{len(cars)} built CARs aren't whole in staging_dir and aren't marked as delivered ({names}): mark those "
        "that are with `ptolemy release`, build lost ones again by materializing their partition of asset car"
    )


def waiting(rows: Iterable[Waiting]) -> str:
    """What a serial project waits for."""
    for row in rows:
        return f"{size(row.bytes)} to leave staging_dir, before CAR {row.number:06d}"
    return "nothing"


def code(binary: bytes) -> str:
    """A CID in code font."""
    return f"`{cid.to_text(binary)}`"


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


def car_metadata(car: CarRow) -> Mapping[str, dg.MetadataValue | int | float]:
    """Metadata of one CAR's materialization."""
    return {
        "payload CID": dg.MetadataValue.md(code(car.payload_cid)),
        "piece CID": dg.MetadataValue.md(code(car.piece_cid_v1)),
        "piece CID v2": dg.MetadataValue.md(code(car.piece_cid_v2)),
        "CAR size": dg.MetadataValue.text(size(car.car_size)),
        "piece size": dg.MetadataValue.text(size(car.piece_size)),
        "data": dg.MetadataValue.text(size(car.data_bytes)),
        "items": car.items,
        "data, % of the piece": round(100 * car.data_bytes / car.piece_size, 2),
        "project": dg.MetadataValue.md(link(car.project, "built_cars", car.project)),
        "sha256": dg.MetadataValue.md(f"`{car.sha256.hex()}`" if car.sha256 else "not recorded"),
        "file": dg.MetadataValue.text(car.file_name),
        "build seconds": round(car.build_seconds, 3),
        "MB per second": round(car.car_size / 1e6 / max(car.build_seconds, 1e-3), 1),
    }


def root_metadata(root: RootRow) -> Mapping[str, dg.MetadataValue | int | float]:
    """Metadata of a data set root's materialization."""
    return {
        "root CID": dg.MetadataValue.md(code(root.root_cid)),
        "entries": root.entries,
        "data": dg.MetadataValue.text(size(root.data_bytes)),
        "left out": root.left_out,
        "blocks": root.blocks,
        "piece CID": dg.MetadataValue.md(code(root.piece_cid_v1)),
        "piece CID v2": dg.MetadataValue.md(code(root.piece_cid_v2)),
        "CAR size": dg.MetadataValue.text(size(root.car_size)),
        "piece size": dg.MetadataValue.text(size(root.piece_size)),
        "sha256": dg.MetadataValue.md(f"`{root.sha256.hex()}`"),
        "file": dg.MetadataValue.text(root.file_name),
        "scan": root.scan,
    }


def car_table(cars: Iterable[CarRow]) -> dg.MetadataValue:
    """A project's CARs; the CIDs, which are long, behind what fits any window."""
    header = ("CAR", "CAR size", "piece size", "items", "payload CID", "piece CID")
    kept = list(cars)
    return table(
        header,
        (
            (
                link(f"{car.number:06d}", "car", f"{car.project}|{car.number:06d}"),
                _unbroken(readable(car.car_size)),
                _unbroken(readable(car.piece_size)),
                f"{car.items:,}",
                code(car.payload_cid),
                code(car.piece_cid_v1),
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
    header = ("container", "items", "data", "CAR size", "piece size", "padding", "built")
    return table(
        header,
        (
            (
                link(f"{row.number:06d}", "car", f"{project}|{row.number:06d}")
                if row.built
                else f"{row.number:06d}",
                f"{row.items:,}",
                readable(row.data_bytes),
                readable(row.car_size),
                readable(row.piece_size),
                f"{row.padding / row.piece_size:.1%}",
                "yes" if row.built else "",
            )
            for row in containers
        ),
    )
