"""Metadata as a person reads it: sizes with units, CIDs as code, Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from ptolemy_core import cid
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.containers import ContainerRow
from ptolemy_core.catalog.roots import RootRow
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
