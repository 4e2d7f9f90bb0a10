"""Rows of a manifest from the catalog: one for each shard, link and empty folder of a CAR, in path order."""

from collections.abc import Iterator, Sequence
from typing import Any

from ptolemy_core.catalog import located, projects
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.located import Contents
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.dag.profile import Profile
from ptolemy_core.encryption.opening import form_of
from ptolemy_core.layout import WHOLE
from ptolemy_core.manifest.schema import COLUMNS
from ptolemy_core.tree import KIND_NAMES, paths

Page = list[Sequence[Any]]
"""The values of each of `COLUMNS`, of some rows."""


def pages(catalog: Catalog, car: CarRow, profile: Profile) -> Iterator[Page]:
    """All rows of a CAR, some thousands at a time."""
    form = form_of(projects.get(catalog, car.project), profile.chunk)
    with catalog.read() as connection:
        for found in located.contents(connection, car.container_id):
            yield _page(found, car, found.spans(form, profile))


def _page(found: Contents, car: CarRow, spans: list[int]) -> Page:
    count = len(found.path)
    cids = cid.to_texts(found.cid)
    page: Page = [
        paths.escape_all(found.path),
        paths.all_to_slashes(found.path),
        [KIND_NAMES[kind] for kind in found.kind],
        found.size,
        found.mtime,
        [None if number == WHOLE else number for number in found.number],
        found.start,
        found.length,
        cids,
        [
            own if number == WHOLE else None if whole is None else cid.to_text(whole)
            for own, number, whole in zip(cids, found.number, found.file_cid, strict=True)
        ],
        [car.number] * count,
        [cid.to_text(car.payload_cid)] * count,
        [cid.to_text(car.piece_cid_v1)] * count,
        found.car_offset,
        spans,
        found.first_scan,
        [gone is None for gone in found.gone_scan],
        [None if digest is None else bytes(digest).hex() for digest in found.sha256],
    ]
    assert len(page) == len(COLUMNS)
    return page
