"""Data set roots in the catalog: one for each scan whose tree was joined, never changed."""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog import projects
from ptolemy_core.catalog.schema import dataset_root
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.dag import cid


@dataclass(frozen=True, slots=True)
class RootRow:
    """The root of a project's whole tree as one scan saw it, and the CAR of the nodes that no other CAR holds.

    Attributes:
        project, scan: whose tree, and the scan that saw it.
        root_cid: binary CID of the whole folder: what a tool of the profile gives for it.
        entries, data_bytes: files, links and empty folders below it, and bytes of the files.
        left_out: entries that the scan saw and the tree doesn't hold, because no CAR does.
        blocks: in the CAR: folders, and nodes of split files above their shards.
        file_name, piece_cid_v1, piece_cid_v2, car_size, piece_size, sha256: of the CAR; CIDs binary, sizes bytes.
        built_at, build_seconds: seconds since 1970, and that it took.
        delivered_at, delivered_to: when its CAR was marked as delivered, and what was noted of where it went.
    """

    project: str
    scan: int
    root_cid: bytes
    entries: int
    data_bytes: int
    left_out: int
    blocks: int
    file_name: str
    piece_cid_v1: bytes
    piece_cid_v2: bytes
    car_size: int
    piece_size: int
    sha256: bytes
    built_at: float
    build_seconds: float
    delivered_at: float | None = None
    delivered_to: str | None = None


def write(catalog: Catalog, row: RootRow) -> None:
    """Record a root."""
    with catalog.write() as connection:
        connection.execute(dataset_root.insert().values(**asdict(row)))


def rows(catalog: Catalog, project: str) -> Iterator[RootRow]:
    """All roots of a project, the newest first."""
    yield from select(catalog, dataset_root.c.project == project)


def select(catalog: Catalog, wanted: sa.ColumnElement[bool]) -> Iterator[RootRow]:
    """Roots for which a condition on the table holds, the newest first."""
    columns = [dataset_root.c[name] for name in RootRow.__dataclass_fields__]
    query = sa.select(*columns).where(wanted).order_by(dataset_root.c.id.desc())
    with catalog.read() as connection:
        found = connection.execute(query).all()
    for row in found:
        values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
        yield RootRow(*values)


def named(catalog: Catalog, text: str, project: str | None = None) -> list[RootRow]:
    """The newest roots that this text names, of each project at most one.

    Args:
        catalog: where they are.
        text: PROJECT/root, a root CID, a piece CID v1 or v2, or the CAR's file name or path.
        project: of the only project to look in.
    """
    found = []
    name = os.path.basename(text).removesuffix(".car")
    for one in projects.names(catalog) if project is None else [project]:
        row = next(rows(catalog, one), None)
        if row is None:
            continue
        cids = {cid.to_text(value) for value in (row.root_cid, row.piece_cid_v1, row.piece_cid_v2)}
        if text in (f"{one}/root", f"{one}|root") or name in cids:
            found.append(row)
    return found


def mark(catalog: Catalog, row: RootRow, at: float | None, note: str | None) -> RootRow:
    """Record that a root's CAR was delivered, or (without a time) that it wasn't; returns the row as it is now.

    All roots with the same CAR have the same mark: they are one file.
    """
    values = {"delivered_at": at, "delivered_to": note}
    same = (dataset_root.c.project == row.project) & (dataset_root.c.piece_cid_v2 == row.piece_cid_v2)
    with catalog.write() as connection:
        connection.execute(dataset_root.update().where(same).values(**values))
    return replace(row, delivered_at=at, delivered_to=note)
