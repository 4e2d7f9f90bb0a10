"""Rows of a manifest from the catalog: one for each shard, link and empty folder of a CAR, in path order."""

from collections.abc import Iterator, Sequence
from typing import Any

from ptolemy_core.catalog import located
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.layout import WHOLE
from ptolemy_core.manifest.schema import COLUMNS
from ptolemy_core.tree import KIND_NAMES, paths

Page = list[tuple[Any, ...]]
"""Rows with the values of `COLUMNS`."""


def pages(catalog: Catalog, car: CarRow, profile: Profile) -> Iterator[Page]:
    """All rows of a CAR, some thousands at a time."""
    payload, piece = cid.to_text(car.payload_cid), cid.to_text(car.piece_cid_v1)
    with catalog.read() as connection:
        for rows in located.of_shards(connection, located.in_container(), {"key": car.container_id}):
            yield _page(rows, located.spans(rows, profile), payload, piece)


def _page(rows: Sequence[Any], spans: list[int], payload: str, piece: str) -> Page:
    out: Page = []
    for row, span in zip(rows, spans, strict=True):
        path = bytes(row.path)
        whole = row.number == WHOLE
        own = cid.to_text(bytes(row.cid))
        stitched = None if row.file_cid is None else cid.to_text(bytes(row.file_cid))
        out.append(
            (
                paths.escape(path),
                paths.to_slashes(path),
                KIND_NAMES[row.kind],
                row.size,
                row.mtime,
                None if whole else row.number,
                row.start,
                row.length,
                own,
                own if whole else stitched,
                row.container,
                payload,
                piece,
                row.car_offset,
                span,
                row.first_scan,
                row.gone_scan is None,
            )
        )
    assert all(len(row) == len(COLUMNS) for row in out[:1])
    return out
