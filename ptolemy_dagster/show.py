"""Metadata as a person reads it: sizes with units, CIDs as code, Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from ptolemy_core import cid
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.waiting import Waiting
from ptolemy_core.sizes import readable

_ROWS = 200


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> dg.MetadataValue:
    """A Markdown table; a long one is cut, and says so."""
    kept = list(rows)
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in kept[:_ROWS]]
    if len(kept) > _ROWS:
        lines.append(f"\n… and {len(kept) - _ROWS} more")
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
        "sha256": dg.MetadataValue.md(f"`{car.sha256.hex()}`" if car.sha256 else "not taken"),
        "file": dg.MetadataValue.text(car.file_name),
        "build seconds": round(car.build_seconds, 3),
        "MB per second": round(car.car_size / 1e6 / max(car.build_seconds, 1e-3), 1),
    }


def car_table(cars: Iterable[CarRow]) -> dg.MetadataValue:
    """A project's CARs."""
    header = ("CAR", "payload CID", "piece CID", "CAR size", "piece size", "items")
    return table(
        header,
        (
            (
                f"{car.number:06d}",
                code(car.payload_cid),
                code(car.piece_cid_v1),
                readable(car.car_size),
                readable(car.piece_size),
                car.items,
            )
            for car in cars
        ),
    )


def plan_table(containers: Iterable[ContainerRow]) -> dg.MetadataValue:
    """A project's containers."""
    header = ("container", "items", "data", "CAR size", "piece size", "padding", "built")
    return table(
        header,
        (
            (
                f"{row.number:06d}",
                row.items,
                readable(row.data_bytes),
                readable(row.car_size),
                readable(row.piece_size),
                f"{row.padding / row.piece_size:.1%}",
                "yes" if row.built else "",
            )
            for row in containers
        ),
    )
