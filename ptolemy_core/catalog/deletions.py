"""The journal of deleted sources, and which entries of a project may be deleted at all.

An entry is journaled before it is deleted (`intended_at`), and again after that (`deleted_at`).
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.joins import SAME_SHARD, at_or_below
from ptolemy_core.catalog.schema import built_shard, car, deletion, file, shard, source_fault
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.layout import WHOLE
from ptolemy_core.source import State
from ptolemy_core.source.safe_delete import Known
from ptolemy_core.tree import Kind, paths

_PAGE = 2000
_MANY = 500


@dataclass(frozen=True, slots=True)
class Source:
    """A live entry of a project's last scan, and how far its bytes are.

    Attributes:
        file_id, path, kind, size, mtime, target: of the entry, as the scan saw it.
        cid: of the whole file, binary, where it is known.
        shards, covered: that are in containers, and their bytes together.
        built, verified, delivered: how many of its shards are in CARs that are built, verified, delivered.
        faults: how many of its shards differed when they were last compared with the source.
        containers: ids of the containers that hold its shards.
        state: in which the builds read it, if all of them read the same; None: not known.
        header: of an encrypted file.
    """

    file_id: int
    path: bytes
    kind: int
    size: int
    mtime: int
    target: bytes | None
    cid: bytes | None
    shards: int
    covered: int
    built: int
    verified: int
    delivered: int
    faults: int = 0
    containers: frozenset[int] = frozenset()
    state: State | None = None
    header: bytes | None = None

    def known(self, inode: int | None = None) -> Known:
        """The entry as the scan saw it."""
        return Known(self.path, self.kind, self.size, self.mtime, self.target, inode)

    @property
    def kept_because(self) -> str | None:
        """Why the catalog doesn't let it be deleted; None if it does."""
        if not self.shards or self.covered != self.size:
            return "not containerized"
        for count, what in (
            (self.built, "built"),
            (self.verified, "verified"),
            (self.delivered, "delivered"),
        ):
            if count < self.shards:
                return f"not all of it is in a CAR that is {what}"
        if self.faults:
            return "it differed from its CAR when verify --source compared them: touch it, and run the project again"
        return None


@dataclass(frozen=True, slots=True)
class Deletion:
    """A row of the journal; `deleted_at` is None where a deletion was begun and not finished.

    `aside` is the name that the entry has, in its folder, while it is deleted; `inode` is its own, `root` that of
    target_dir; `header` is that of an encrypted file.
    """

    file_id: int
    path: bytes
    kind: int
    size: int
    mtime: int
    cid: bytes | None
    intended_at: float
    deleted_at: float | None
    aside: bytes | None = field(default=None, repr=False)
    inode: int | None = field(default=None, repr=False)
    root: int | None = field(default=None, repr=False)
    target: bytes | None = field(default=None, repr=False)
    header: bytes | None = field(default=None, repr=False)

    @property
    def known(self) -> Known:
        """The entry as the scan saw it."""
        return Known(self.path, self.kind, self.size, self.mtime, self.target, self.inode)


@dataclass(frozen=True, slots=True)
class Intent:
    """An entry that is about to be deleted, its inode, and the name that it gets meanwhile."""

    source: Source
    inode: int
    aside: bytes


def sources(catalog: Catalog, project: str, below: bytes = b"") -> Iterator[Source]:
    """Entries of a project at or below a path, in path order; what is journaled isn't among them."""
    page = _page(project, below)
    last: bytes | None = None
    while True:
        part = (page if last is None else page.where(file.c.path > last)).subquery()
        query = (
            sa.select(
                part,
                sa.func.count(shard.c.file_id),
                sa.func.coalesce(sa.func.sum(shard.c.length), 0),
                sa.func.count(car.c.container_id),
                sa.func.count(car.c.verified_at),
                sa.func.count(car.c.delivered_at),
            )
            .outerjoin(shard, shard.c.file_id == part.c.file_id)
            .outerjoin(car, car.c.container_id == shard.c.container_id)
            .group_by(*part.c)
            .order_by(part.c.path)
        )
        with catalog.read() as connection:
            rows = connection.execute(query).all()
            where = _places(connection, part)
        for row in rows:
            key, path, kind, size, mtime, target, header, cid, faulty, *counts = row
            shards, covered, built, verified, delivered = map(int, counts)
            containers, state = where.get(key, (frozenset(), None))
            yield Source(
                file_id=key,
                path=bytes(path),
                kind=kind,
                size=size,
                mtime=mtime,
                target=_bytes(target),
                cid=_bytes(cid),
                shards=shards,
                covered=covered,
                built=built,
                verified=verified,
                delivered=delivered,
                faults=int(faulty),
                containers=containers,
                state=state,
                header=_bytes(header),
            )
        if len(rows) < _PAGE:
            return
        last = bytes(rows[-1].path)


def _page(project: str, below: bytes) -> sa.Select[Any]:
    """The first page of the entries that `sources` gives, each with the number of its faults."""
    whole_cid = (
        sa.select(built_shard.c.cid)
        .join(shard, SAME_SHARD)
        .where(shard.c.file_id == file.c.id, shard.c.number == WHOLE)
        .limit(1)
        .scalar_subquery()
    )
    faults = sa.select(sa.func.count()).where(source_fault.c.file_id == file.c.id).scalar_subquery()
    return (
        sa.select(
            file.c.id.label("file_id"),
            file.c.path,
            file.c.kind,
            file.c.size,
            file.c.mtime,
            file.c.target,
            file.c.header,
            sa.func.coalesce(file.c.cid, whole_cid).label("cid"),
            faults.label("faults"),
        )
        .where(file.c.project == project, file.c.gone_scan.is_(None), file.c.kind >= 0)
        .where(~sa.exists().where(deletion.c.file_id == file.c.id))
        .where(at_or_below(below))
        .order_by(file.c.path)
        .limit(_PAGE)
    )


_Places = dict[int, tuple[frozenset[int], State | None]]


def _places(connection: Connection, files: sa.Subquery) -> _Places:
    """Of each of these files: the containers with its shards, and what the builds of those read."""
    query = (
        sa.select(shard.c.file_id, shard.c.container_id, built_shard.c.read_ctime, built_shard.c.read_inode)
        .join(files, files.c.file_id == shard.c.file_id)
        .outerjoin(built_shard, SAME_SHARD)
    )
    containers: dict[int, set[int]] = {}
    states: dict[int, set[State | None]] = {}
    for key, container, ctime, inode in connection.execute(query):
        containers.setdefault(key, set()).add(container)
        states.setdefault(key, set()).add(None if ctime is None or inode is None else (ctime, inode))
    return {
        key: (frozenset(numbers), next(iter(states[key])) if len(states[key]) == 1 else None)
        for key, numbers in containers.items()
    }


def exists(catalog: Catalog, project: str, path: bytes) -> bool:
    """Whether the last scan of a project saw something at this path or below it."""
    query = sa.select(file.c.id).where(file.c.project == project, file.c.gone_scan.is_(None)).limit(1)
    with catalog.read() as connection:
        return connection.scalar(query.where(at_or_below(path))) is not None


def data_bytes(catalog: Catalog, project: str, below: bytes = b"") -> int:
    """Bytes of the live files at or below a path."""
    query = sa.select(sa.func.coalesce(sa.func.sum(file.c.size), 0)).where(
        file.c.project == project, file.c.gone_scan.is_(None), file.c.kind == Kind.FILE
    )
    query = query.where(at_or_below(below))
    with catalog.read() as connection:
        return int(connection.execute(query).scalar_one())


def intend(catalog: Catalog, project: str, root: int, chosen: Sequence[Intent]) -> None:
    """Journal entries that are about to be deleted; when this returns, a loss of power doesn't lose it."""
    now = time.time()
    fields = ("file_id", "path", "kind", "size", "mtime", "cid")
    rows = [
        {f: getattr(one.source, f) for f in fields}
        | {"project": project, "intended_at": now, "aside": one.aside, "inode": one.inode, "root": root}
        for one in chosen
    ]
    with catalog.write() as connection:
        connection.execute(deletion.insert(), rows)
    catalog.sync()


def finish(catalog: Catalog, file_ids: Sequence[int]) -> None:
    """Journal that these were deleted."""
    with catalog.write() as connection:
        for low in range(0, len(file_ids), _MANY):
            these = deletion.c.file_id.in_(file_ids[low : low + _MANY])
            connection.execute(deletion.update().where(these).values(deleted_at=time.time()))


def forget(catalog: Catalog, file_ids: Sequence[int]) -> None:
    """Take these out of the journal: they weren't deleted after all."""
    with catalog.write() as connection:
        for low in range(0, len(file_ids), _MANY):
            connection.execute(deletion.delete().where(deletion.c.file_id.in_(file_ids[low : low + _MANY])))


def rows(
    catalog: Catalog, project: str, *, unfinished: bool = False, below: bytes = b""
) -> Iterator[Deletion]:
    """The journal of a project in the order of deletion; or what of it is unfinished."""
    columns = (deletion if name in deletion.c else file for name in Deletion.__dataclass_fields__)
    query = (
        sa.select(
            deletion.c.id, *(t.c[f] for t, f in zip(columns, Deletion.__dataclass_fields__, strict=True))
        )
        .join(file, file.c.id == deletion.c.file_id)
        .where(deletion.c.project == project)
        .order_by(deletion.c.id)
        .limit(_PAGE)
    )
    if unfinished:
        query = query.where(deletion.c.deleted_at.is_(None))
    query = query.where(at_or_below(below, deletion.c.path))
    last = -1
    while True:
        with catalog.read() as connection:
            page = connection.execute(query.where(deletion.c.id > last)).all()
        for row in page:
            values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
            last = values[0]
            yield Deletion(*values[1:])
        if len(page) < _PAGE:
            return


def folders(catalog: Catalog, project: str, below: bytes = b"") -> set[bytes]:
    """All folders below target_dir that something was deleted from, at any depth."""
    found: set[bytes] = set()
    for row in rows(catalog, project, below=below):
        folder = paths.parent(row.path)
        while folder and folder not in found:
            found.add(folder)
            folder = paths.parent(folder)
    return found


def settle(catalog: Catalog, project: str, scan: int) -> int:
    """After a scan: what it saw isn't deleted, what it missed is; returns how many it missed for that reason."""
    mine = deletion.c.project == project
    seen = sa.select(file.c.id).where(file.c.project == project, file.c.gone_scan.is_(None))
    with catalog.write() as connection:
        if connection.scalar(sa.select(deletion.c.id).where(mine).limit(1)) is None:
            return 0
        finished = deletion.c.deleted_at.is_not(None)
        connection.execute(deletion.delete().where(mine, finished, deletion.c.file_id.in_(seen)))
        missed = sa.select(file.c.id).where(file.c.project == project, file.c.gone_scan.is_not(None))
        begun = deletion.update().where(mine, ~finished, deletion.c.file_id.in_(missed))
        connection.execute(begun.values(deleted_at=time.time()))
        count: int = connection.execute(
            sa.select(sa.func.count())
            .select_from(deletion.join(file, file.c.id == deletion.c.file_id))
            .where(mine, finished, file.c.gone_scan == scan)
        ).scalar_one()
    return count


def count(catalog: Catalog, project: str) -> int:
    """How many sources of a project were deleted after delivery."""
    query = sa.select(sa.func.count()).where(deletion.c.project == project)
    with catalog.read() as connection:
        return int(connection.scalar(query) or 0)


def of_container(catalog: Catalog, container_id: int) -> int:
    """How many shards of a container come from sources that were deleted."""
    query = (
        sa.select(sa.func.count())
        .select_from(deletion.join(shard, shard.c.file_id == deletion.c.file_id))
        .where(shard.c.container_id == container_id)
    )
    with catalog.read() as connection:
        count: int = connection.execute(query).scalar_one()
    return count


def _bytes(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
