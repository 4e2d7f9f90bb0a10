"""The shards of a built CAR, with the file versions that they are of."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import sqlalchemy as sa

from ptolemy_core.catalog.columns import Columns, Packed, pages
from ptolemy_core.catalog.joins import SAME_SHARD
from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import built_shard, deletion, file, shard
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid
from ptolemy_core.encryption import Form
from ptolemy_core.layout import WHOLE
from ptolemy_core.tree import Kind
from ptolemy_core.tree.packed import PackedPaths

_DELETED = sa.exists().where(deletion.c.file_id == file.c.id, deletion.c.deleted_at.is_not(None))
_LIVE = sa.and_(file.c.gone_scan.is_(None), ~_DELETED)


@survives_outage
def outdated(catalog: Catalog, project: str) -> int:
    """How many file versions in a project's CARs were changed or deleted since, as a scan or a deletion knows."""
    in_car = sa.exists().where(
        shard.c.file_id == file.c.id, built_shard.c.container_id == shard.c.container_id
    )
    query = sa.select(sa.func.count()).select_from(file).where(file.c.project == project, ~_LIVE, in_car)
    with catalog.read() as connection:
        return int(connection.execute(query).scalar_one())


@dataclass(frozen=True, slots=True)
class BuiltShard:
    """A shard of a built CAR, and the file version that it is of.

    Attributes:
        position: in the container.
        file_id, path, kind, size, mtime: of the file's version; mtime in nanoseconds, as the catalog has it.
        number: of the shard; None for a whole file, a link or an empty folder.
        start, length: its range of the file.
        cid, car_offset: of its root block.
        live: whether the last scan still saw this version, and it wasn't deleted since.
        read_ctime: the file's time of change when the build read it; None where that isn't known.
        header: of an encrypted file's version; None: it isn't one.
    """

    position: int
    file_id: int
    path: bytes
    kind: Kind
    size: int
    mtime: int
    number: int | None
    start: int
    length: int
    cid: bytes
    car_offset: int
    live: bool
    read_ctime: int | None
    header: bytes | None = None

    def range_in_car(self, form: Form) -> tuple[int, int]:
        """Start and length of the shard in CARs."""
        if self.kind == Kind.FILE:
            return (
                form.file_range(self.size, self.start, self.length)
                if form.files
                else (self.start, self.length)
            )
        one = np.array([self.length], dtype=np.int64)
        return self.start, int(form.sizes(np.array([self.kind], dtype=np.int8), one)[0])


@dataclass(frozen=True, slots=True)
class BuiltShards(Sequence[BuiltShard]):
    """The shards of a built container in its order, as columns: a row is made when it is asked for.

    Attributes:
        columns: of `BuiltShard`, in its order and as the catalog has them; those that `listed` doesn't tell may have
            been left out, and then there are no rows.
    """

    columns: Columns

    def __len__(self) -> int:
        return len(self.columns[_PATH])

    @overload
    def __getitem__(self, at: int) -> BuiltShard: ...

    @overload
    def __getitem__(self, at: slice) -> "BuiltShards": ...

    def __getitem__(self, at: int | slice) -> "BuiltShard | BuiltShards":
        if isinstance(at, slice):
            return BuiltShards([column[at] for column in self.columns])
        position, file_id, path, kind, size, mtime, number, start, length, own, offset, live, read, header = (
            column[at] for column in self.columns
        )
        return BuiltShard(
            position=position,
            file_id=file_id,
            path=path,
            kind=Kind(kind),
            size=size,
            mtime=mtime,
            number=None if number == WHOLE else number,
            start=start,
            length=length,
            cid=own,
            car_offset=offset,
            live=bool(live),
            read_ctime=read,
            header=header,
        )

    def listed(self) -> Iterator[tuple[bytes, int, int, int, bytes, int]]:
        """Path, kind, number, length, CID and offset in the CAR of each; the number as in the catalog."""
        return zip(*(self.columns[k] for k in _LISTED), strict=True)


_FIELDS = list(BuiltShard.__dataclass_fields__)
_LISTED = [_FIELDS.index(name) for name in ("path", "kind", "number", "length", "cid", "car_offset")]
_PATH = _FIELDS.index("path")
_OBJECTS = ("read_ctime", "header")
"""Columns of numbers and bytes that may be null."""
_NARROW = {"kind": "b", "number": "i", "live": "b"}
"""Types of columns of small numbers."""
NONE = BuiltShards([[] for _ in BuiltShard.__dataclass_fields__])
"""No shards."""


@survives_outage
def built(catalog: Catalog, container_id: int, *, listed: bool = False) -> BuiltShards:
    """All shards of a built container, in its order; if only `listed`, what that tells of them."""
    found: list[Any] = [[] if name in _OBJECTS else array(_NARROW.get(name, "q")) for name in _FIELDS]
    found[_PATH], found[_FIELDS.index("cid")] = PackedPaths(), Packed(cid.SIZE)
    columns = [found[k] for k in _LISTED] if listed else found
    with catalog.read() as connection:
        for page in pages(connection, _LISTED_ONLY if listed else _BUILT, key=container_id):
            for column, more in zip(columns, page, strict=True):
                column.extend(more)
    found[_PATH].finish()
    return BuiltShards(found)


def file_ids(catalog: Catalog, container_id: int, positions: Iterable[int]) -> list[int]:
    """The ids of the files of shards at these positions of a container."""
    query = sa.select(shard.c.file_id).where(
        shard.c.container_id == container_id, shard.c.position == sa.bindparam("position")
    )
    with catalog.read() as connection:
        return [connection.execute(query, {"position": one}).scalar_one() for one in positions]


_BUILT = (
    sa.select(
        shard.c.position,
        file.c.id,
        file.c.path,
        file.c.kind,
        file.c.size,
        file.c.mtime,
        shard.c.number,
        shard.c.start,
        shard.c.length,
        built_shard.c.cid,
        built_shard.c.car_offset,
        _LIVE.label("live"),
        built_shard.c.read_ctime,
        file.c.header,
    )
    .select_from(file)
    .join(shard, shard.c.file_id == file.c.id)
    .join(built_shard, SAME_SHARD)
    .where(shard.c.container_id == sa.bindparam("key"))
    .order_by(shard.c.position)
)
_LISTED_ONLY = _BUILT.with_only_columns(*(list(_BUILT.selected_columns)[k] for k in _LISTED))
