"""Receipts of built CARs: written in one transaction each; what they say of a CAR is never changed.

What happens to a CAR later, that it was verified and delivered, is kept beside that (see `delivery`).
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ptolemy_core.car.build import BuiltCar
from ptolemy_core.catalog import bulk
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, car, container
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.errors import ReceiptError

if TYPE_CHECKING:
    from ptolemy_core.keys import WrappedKey

_MANY = 500
STAGED, GENERATED = "staged", "generated"
"""How a CAR is stored: values of the setting `car_storage`."""


@dataclass(frozen=True, slots=True)
class CarRow:
    """A built CAR. CIDs are binary, sizes bytes, times seconds (since 1970, and of the build).

    `verified_at`: when it last passed verification wholly; `delivered_at`, `delivered_to`: when it was marked as
    delivered, and what was noted of the place. `file_ctime`, `file_inode`: of the file that passed. `failed_at`: when
    it failed verification, if it hasn't passed since. `seen_at`: when it was marked as delivered while its file was
    there and known to be the whole CAR. None: it wasn't. `car_storage`: "staged" or "generated". `dead_at`,
    `dead_reason`: when a scan found that the source of a generated CAR changed, and what did. `wrapped`: of a
    generated CAR, the data keys of its project, if that is encrypted. `named`: whether it is known to have its name.
    """

    container_id: int
    project: str
    number: int
    items: int
    data_bytes: int
    file_name: str
    payload_cid: bytes
    piece_cid_v1: bytes
    piece_cid_v2: bytes
    car_size: int
    piece_size: int
    sha256: bytes | None
    built_at: float
    build_seconds: float
    verified_at: float | None
    delivered_at: float | None
    delivered_to: str | None
    file_ctime: int | None = None
    file_inode: int | None = None
    failed_at: float | None = None
    seen_at: float | None = None
    car_storage: str = STAGED
    dead_at: float | None = None
    dead_reason: str | None = None
    named: bool = True
    wrapped: "tuple[WrappedKey, ...]" = ()

    @property
    def is_generated(self) -> bool:
        """Whether it has no file, and its bytes are made from its source."""
        return self.car_storage == GENERATED


_COLUMNS = [name for name in CarRow.__dataclass_fields__ if name != "wrapped"]


def write_receipt(
    catalog: Catalog,
    container_id: int,
    built: BuiltCar,
    seconds: float,
    car_storage: str = STAGED,
    *,
    named: bool = True,
) -> None:
    """Record a built CAR, the CIDs of its shards, and the states in which their files were read.

    Args:
        catalog: of the project.
        container_id: the container's.
        built: the CAR.
        seconds: that its build took.
        car_storage: how it is stored.
        named: whether it has its name already; see `encrypted_cars`.

    Raises:
        ReceiptError: the plan changed while the CAR was built.
    """
    row = {
        "container_id": container_id,
        "file_name": built.file_name,
        "payload_cid": built.payload_cid,
        "piece_cid_v1": built.piece_cid_v1,
        "piece_cid_v2": built.piece_cid_v2,
        "car_size": built.car_size,
        "piece_size": built.piece_size,
        "sha256": built.sha256,
        "built_at": time.time(),
        "build_seconds": seconds,
        "car_storage": car_storage,
        "named": named,
    }
    try:
        _insert(catalog, row, built)
    except IntegrityError as error:
        same = sa.select(car.c.piece_cid_v2).where(car.c.container_id == container_id)
        if [bytes(value) for (value,) in catalog.fetch(same)] == [built.piece_cid_v2]:
            return  # by a try whose answer was lost with the connection, or by another process: the CAR is the same
        raise ReceiptError(
            f"the plan changed while {built.file_name} was built, its receipt fits no container: run blitz again"
        ) from error


@survives_outage
def _insert(catalog: Catalog, row: dict[str, Any], built: BuiltCar) -> None:
    with catalog.write() as connection:
        connection.execute(car.insert().values(**row))
        bulk.insert(
            connection,
            built_shard,
            ("container_id", "position", "cid", "car_offset", "nodes", "read_ctime", "read_inode"),
            (
                (
                    row["container_id"],
                    position,
                    item.cid,
                    item.car_offset,
                    item.nodes or None,
                    *(item.state or (None, None)),
                )
                for position, item in enumerate(built.items)
            ),
            scattered=True,
        )


def rows(
    catalog: Catalog,
    project: str,
    number: int | None = None,
    *,
    after: int | None = None,
    limit: int | None = None,
) -> Iterator[CarRow]:
    """Built CARs of a project, by number; or the one of container `number`, if it is built.

    Args:
        catalog: of the project.
        project: its name.
        number: of the only container wanted.
        after: leave out containers up to this number.
        limit: at most this many.
    """
    given = {
        "wanted": project,
        "first": number if number is not None else -1 if after is None else after + 1,
        "last": _LAST if number is None else number,
        "most": _LAST if limit is None else limit,
    }
    yield from _found(catalog, catalog.fetch(_OF_PROJECT, given))


def of_containers(catalog: Catalog, ids: Iterable[int]) -> dict[int, CarRow]:
    """The CARs of these containers, by the containers' ids, where they are built."""
    chosen = sorted(ids)
    found: dict[int, CarRow] = {}
    for low in range(0, len(chosen), _MANY):
        for row in select(catalog, car.c.container_id.in_(chosen[low : low + _MANY])):
            found[row.container_id] = row
    return found


def undelivered(catalog: Catalog, project: str) -> list[CarRow]:
    """Built CARs of a project that aren't marked as delivered."""
    return list(select(catalog, (container.c.project == project) & car.c.delivered_at.is_(None)))


def same_file(catalog: Catalog, row: CarRow) -> list[CarRow]:
    """Other CARs with the same content, of any project: they have the same file name."""
    return list(select(catalog, (car.c.file_name == row.file_name) & (container.c.id != row.container_id)))


def known_names(catalog: Catalog, project: str, names: Sequence[str]) -> list[str]:
    """Which of these file names are a project's CARs."""
    found: list[str] = []
    with catalog.read() as connection:
        for low in range(0, len(names), _MANY):
            query = (
                sa.select(car.c.file_name)
                .distinct()  # the same content twice is one file
                .join(container, container.c.id == car.c.container_id)
                .where(container.c.project == project, car.c.file_name.in_(names[low : low + _MANY]))
            )
            found += connection.scalars(query)
    return found


_SELECT = (
    sa.select(*(car.c[f] if f in car.c else container.c[f] for f in _COLUMNS))
    .join(container, container.c.id == car.c.container_id)
    .order_by(container.c.project, container.c.number)
)


def select(catalog: Catalog, wanted: sa.ColumnElement[bool], limit: int | None = None) -> Iterator[CarRow]:
    """Built CARs for which a condition on tables `car` and `container` holds, by project and number."""
    yield from _found(catalog, catalog.fetch(_SELECT.where(wanted).limit(limit)))


_LAST = 2**31 - 1
"""No container has a larger number; also a limit that is none."""

_OF_PROJECT = _SELECT.where(
    container.c.project == sa.bindparam("wanted"),
    container.c.number >= sa.bindparam("first"),
    container.c.number <= sa.bindparam("last"),
).limit(sa.bindparam("most"))
"""Made once: SQLAlchemy takes longer to make it than SQLite to answer it."""


def _found(catalog: Catalog, found_rows: Iterable[sa.Row[Any]]) -> Iterator[CarRow]:
    wrapped: dict[str, tuple[WrappedKey, ...]] = {}
    for row in found_rows:
        values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
        found = CarRow(*values)
        if not found.is_generated:
            yield found
            continue
        if found.project not in wrapped:
            wrapped[found.project] = _data_keys(catalog, found.project)
        yield replace(found, wrapped=wrapped[found.project])


def _data_keys(catalog: Catalog, project: str) -> "tuple[WrappedKey, ...]":
    from ptolemy_core.catalog import data_keys  # it loads ciphers

    return tuple(data_keys.data_keys(catalog, project))


@dataclass(frozen=True, slots=True)
class Recent:
    """CARs that were built lately: their bytes, and when the first of their builds began (None: there is none)."""

    size: int
    began: float | None


@survives_outage
def built_since(catalog: Catalog, project: str, since: float) -> Recent:
    """The CARs of a project that were built after a time, seconds since 1970."""
    query = (
        sa.select(sa.func.sum(car.c.car_size), sa.func.min(car.c.built_at - car.c.build_seconds))
        .join(container, container.c.id == car.c.container_id)
        .where(container.c.project == project, car.c.built_at > since)
    )
    with catalog.read() as connection:
        size, began = connection.execute(query).one()
    return Recent(int(size or 0), began)
