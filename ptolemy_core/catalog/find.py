"""Look-up: which CAR and piece holds a path, and what a CID names."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ptolemy_core import cid, paths
from ptolemy_core.catalog.schema import built_shard, car, container, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.layout.items import SEPARATOR


@dataclass(frozen=True, slots=True)
class Found:
    """A shard, link or empty folder that a look-up met, and where it is. Sizes and offsets are bytes.

    Attributes:
        project, path, size: of the file; path as `paths.escape` writes it.
        current: False for a version that a later scan found changed or gone.
        shard, start, length: number within a split file (None: whole), and byte range of the file.
        cid, file_cid: of the shard, and of the whole file; None while they aren't built.
        container, car_offset, payload_cid, piece_cid, file_name: the CAR that holds it; None while unbuilt.
    """

    project: str
    path: str
    size: int
    current: bool
    shard: int | None
    start: int | None
    length: int | None
    cid: str | None
    file_cid: str | None
    container: int | None
    car_offset: int | None
    payload_cid: str | None
    piece_cid: str | None
    file_name: str | None


def find_path(catalog: Catalog, text: str, project: str | None = None) -> Iterator[Found]:
    """All versions of the entry of this path, or of all entries below it if it is a folder."""
    path = paths.from_display(text)
    below = path + SEPARATOR
    wanted = sa.or_(
        file.c.path == path, sa.and_(file.c.path >= below, file.c.path < path + bytes((SEPARATOR[0] + 1,)))
    )
    yield from _found(catalog, wanted if path else sa.true(), project)


def find_cid(catalog: Catalog, text: str, project: str | None = None) -> Iterator[Found]:
    """Everything that this CID names: a file, a shard, or all that a CAR or piece holds.

    Raises:
        ValueError: it isn't a base32 CID.
    """
    binary = cid.from_text(text)
    wanted = sa.or_(
        built_shard.c.cid == binary,
        file.c.cid == binary,
        car.c.payload_cid == binary,
        car.c.piece_cid_v1 == binary,
        car.c.piece_cid_v2 == binary,
    )
    yield from _found(catalog, wanted, project)


def _found(catalog: Catalog, wanted: Any, project: str | None) -> Iterator[Found]:
    query = (
        sa.select(
            file.c.project,
            file.c.path,
            file.c.size,
            file.c.gone_scan,
            file.c.cid.label("file_cid"),
            shard.c.number.label("shard"),
            shard.c.start,
            shard.c.length,
            built_shard.c.cid,
            built_shard.c.car_offset,
            container.c.number,
            car.c.payload_cid,
            car.c.piece_cid_v1,
            car.c.file_name,
        )
        .select_from(file)
        .outerjoin(shard, shard.c.file_id == file.c.id)
        .outerjoin(container, container.c.id == shard.c.container_id)
        .outerjoin(car, car.c.container_id == container.c.id)
        .outerjoin(
            built_shard,
            sa.and_(
                built_shard.c.container_id == shard.c.container_id,
                built_shard.c.position == shard.c.position,
            ),
        )
        .where(wanted)
        .order_by(file.c.project, file.c.path, file.c.id, shard.c.number)
    )
    if project is not None:
        query = query.where(file.c.project == project)
    with catalog.read() as connection:
        for row in connection.execution_options(yield_per=5000).execute(query):
            whole = row.shard in (None, WHOLE)
            own = _text(row.cid)
            yield Found(
                project=row.project,
                path=paths.escape(bytes(row.path)),
                size=row.size,
                current=row.gone_scan is None,
                shard=None if whole else row.shard,
                start=row.start,
                length=row.length,
                cid=own,
                file_cid=own if whole else _text(row.file_cid),
                container=row.number,
                car_offset=row.car_offset,
                payload_cid=_text(row.payload_cid),
                piece_cid=_text(row.piece_cid_v1),
                file_name=row.file_name,
            )


def _text(binary: bytes | memoryview | None) -> str | None:
    return None if binary is None else cid.to_text(bytes(binary))
