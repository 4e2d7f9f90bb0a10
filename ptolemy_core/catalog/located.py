"""Statements of look-ups: pages of files and shards from index ranges, with where they are.

A page is a range of one index with a limit, taken first and joined then: so a database has no other plan.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Row

from ptolemy_core.catalog import columns
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.schema import built_shard, car, container, file, project, shard
from ptolemy_core.dag.profile import Profile
from ptolemy_core.encryption import Form
from ptolemy_core.layout import item_extents

PAGE, LARGEST_PAGE = 64, 4096
"""Rows of a look-up's first page, and of its largest: pages grow, as most look-ups need one only."""

_PROJECT: sa.BindParameter[str] = sa.bindparam("project")
_SIZE: sa.BindParameter[int] = sa.bindparam("size")

# statements are made once: making one takes as long as running it


@cache
def files_in_range(bounded: bool, gone: bool) -> sa.Select[Any]:
    """One page of a project's files in a range of paths: a range of one index, in its order.

    It binds `project`, `low`, `high` if it is bounded, `size`, and the `scan` and `id` of the last row before,
    whose path is `low`. It takes versions that are gone too if `gone`.
    """
    last = sa.tuple_(sa.bindparam("low"), sa.bindparam("scan"), sa.bindparam("id"))
    query = (
        sa.select(file.c.id, file.c.path, file.c.first_scan)
        .where(file.c.project == _PROJECT, file.c.path >= sa.bindparam("low"))
        .where(sa.tuple_(file.c.path, file.c.first_scan, file.c.id) > last)
        .order_by(file.c.path, file.c.first_scan, file.c.id)
        .limit(_SIZE)
    )
    if bounded:
        query = query.where(file.c.path < sa.bindparam("high"))
    return query if gone else query.where(file.c.gone_scan.is_(None))


@cache
def in_container() -> sa.Select[Any]:
    """One page of what a container holds."""
    return (
        sa.select(shard.c.container_id, shard.c.position)
        .where(shard.c.container_id == sa.bindparam("key"), shard.c.position > sa.bindparam("position"))
        .order_by(shard.c.position)
        .limit(_SIZE)
    )


@cache
def built(mine: bool) -> sa.Select[Any]:
    """One page of the built shards of a CID; `mine`: of one project."""
    place = built_shard.c.container_id, built_shard.c.position
    query = (
        sa.select(*place)
        .where(built_shard.c.cid == sa.bindparam("cid"))
        .where(sa.tuple_(*place) > sa.tuple_(sa.bindparam("container"), sa.bindparam("position")))
        .order_by(*place)
        .limit(_SIZE)
    )
    return _of_project(query, built_shard.c.container_id) if mine else query


@cache
def cars_named(mine: bool) -> sa.Select[Any]:
    """Containers whose CAR or piece has a CID."""
    named = sa.or_(
        *(
            column == sa.bindparam("cid")
            for column in (car.c.payload_cid, car.c.piece_cid_v1, car.c.piece_cid_v2)
        )
    )
    query = sa.select(car.c.container_id).where(named).order_by(car.c.container_id)
    return _of_project(query, car.c.container_id) if mine else query


@cache
def split_files(mine: bool) -> sa.Select[Any]:
    """Split files of a CID."""
    query = sa.select(file.c.id).where(file.c.cid == sa.bindparam("cid")).order_by(file.c.id)
    return query.where(file.c.project == _PROJECT) if mine else query


def _of_project(query: sa.Select[Any], container_id: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return query.join(container, container.c.id == container_id).where(container.c.project == _PROJECT)


_COLUMNS = (
    file.c.project,
    file.c.path,
    file.c.kind,
    file.c.size,
    file.c.mtime,
    file.c.first_scan,
    file.c.gone_scan,
    file.c.cid.label("file_cid"),
    file.c.sha256,
    shard.c.container_id,
    shard.c.position,
    shard.c.number,
    shard.c.start,
    shard.c.length,
    built_shard.c.cid,
    built_shard.c.car_offset,
    container.c.number.label("container"),
    car.c.payload_cid,
    car.c.piece_cid_v1,
    car.c.piece_cid_v2,
    car.c.file_name,
    project.c.encryption,
    project.c.encrypt_names,
    car.c.car_storage,
    car.c.dead_reason,
)
_BY_FILE = (
    sa.select(*_COLUMNS)
    .select_from(file)
    .join(project, project.c.name == file.c.project)
    .outerjoin(shard, shard.c.file_id == file.c.id)
    .outerjoin(container, container.c.id == shard.c.container_id)
    .outerjoin(car, car.c.container_id == container.c.id)
    .outerjoin(built_shard, SAME_SHARD)
    .where(file.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(file.c.path, file.c.first_scan, file.c.id, shard.c.number)
)


def of_files(connection: Connection, ids: Sequence[int]) -> Iterator[Sequence[Row[Any]]]:
    """Pages of all shards of these files; a file that has none comes once too."""
    for low in range(0, len(ids), LARGEST_PAGE):
        yield connection.execute(_BY_FILE, {"ids": ids[low : low + LARGEST_PAGE]}).all()


@cache
def _by_shard(page: sa.Select[Any]) -> sa.Select[Any]:
    chosen = page.subquery()
    here = sa.and_(shard.c.container_id == chosen.c.container_id, shard.c.position == chosen.c.position)
    return (
        sa.select(*_COLUMNS)
        .select_from(chosen)
        .join(shard, here)
        .join(file, file.c.id == shard.c.file_id)
        .join(project, project.c.name == file.c.project)
        .join(container, container.c.id == shard.c.container_id)
        .join(car, car.c.container_id == container.c.id)
        .join(built_shard, SAME_SHARD)
        .order_by(shard.c.container_id, shard.c.position)
    )


def of_shards(
    connection: Connection, page: sa.Select[Any], named: dict[str, Any]
) -> Iterator[Sequence[Row[Any]]]:
    """Pages of what is at the containers and positions that `in_container()` or `built()` gives."""
    values = named | {"container": -1, "position": -1, "size": PAGE}
    while True:
        rows = connection.execute(_by_shard(page), values).all()
        if rows:
            yield rows
        if len(rows) < values["size"]:
            return
        values |= {"container": rows[-1].container_id, "position": rows[-1].position}
        values["size"] = min(4 * values["size"], LARGEST_PAGE)


_CONTENTS = (
    sa.select(
        file.c.path,
        file.c.kind,
        file.c.size,
        file.c.mtime,
        file.c.first_scan,
        file.c.gone_scan,
        file.c.cid.label("file_cid"),
        shard.c.number,
        shard.c.start,
        shard.c.length,
        built_shard.c.cid,
        built_shard.c.car_offset,
        file.c.sha256,
    )
    .select_from(shard)
    .join(file, file.c.id == shard.c.file_id)
    .join(built_shard, SAME_SHARD)
    .where(shard.c.container_id == sa.bindparam("key"))
    .order_by(shard.c.position)
)


class Contents(NamedTuple):
    """What a built container holds, in its order, as columns; see `schema`."""

    path: Sequence[bytes]
    kind: Sequence[int]
    size: Sequence[int]
    mtime: Sequence[int]
    first_scan: Sequence[int]
    gone_scan: Sequence[int | None]
    file_cid: Sequence[bytes | None]
    number: Sequence[int]
    start: Sequence[int]
    length: Sequence[int]
    cid: Sequence[bytes]
    car_offset: Sequence[int]
    sha256: Sequence[bytes | None]

    def spans(self, form: Form, profile: Profile) -> list[int]:
        """Bytes of the sections of each shard in a CAR of this form."""
        kinds = np.array(self.kind, dtype=np.int8)
        ranges = (np.array(column, dtype=np.int64) for column in (self.size, self.start, self.length))
        out: list[int] = item_extents(kinds, form.encrypted(kinds, *ranges)[1], profile).span.tolist()
        return out


def contents(connection: Connection, container_id: int) -> Iterator[Contents]:
    """All that a built container holds, some thousands at a time."""
    for page in columns.pages(connection, _CONTENTS, key=container_id):
        yield Contents(*page)


def spans(rows: Sequence[Row[Any]], profile: Profile) -> list[int]:
    """Bytes of the sections of each of a page's shards."""
    kinds = np.array([row.kind for row in rows], dtype=np.int8)
    out: list[int] = item_extents(kinds, lengths_in_cars(rows, profile), profile).span.tolist()
    return out


def lengths_in_cars(rows: Sequence[Row[Any]], profile: Profile) -> NDArray[np.int64]:
    """Bytes of each of some shards as its CAR has it, encrypted or not.

    The rows have kind, size of the whole file, start and length of the shard, encryption and encrypt_names.
    """
    kinds = np.array([row.kind for row in rows], dtype=np.int8)
    wholes, starts, lengths = (
        np.array([getattr(row, of) or 0 for row in rows], dtype=np.int64)
        for of in ("size", "start", "length")
    )
    encrypted = np.array([row.encryption != "None" for row in rows], dtype=np.bool_)
    names = np.array([bool(row.encrypt_names) for row in rows], dtype=np.bool_)
    for with_names in (False, True):
        chosen = encrypted & (names == with_names)
        if chosen.any():
            form = Form(True, with_names, profile.chunk)
            ranges = (column[chosen] for column in (kinds, wholes, starts, lengths))
            lengths[chosen] = form.encrypted(*ranges)[1]
    return lengths
