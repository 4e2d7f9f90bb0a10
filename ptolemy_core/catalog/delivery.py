"""What happens to a CAR after it is built: verified, delivered; and CARs found by any of their names."""

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa

from ptolemy_core.catalog import cars, deals, replicas
from ptolemy_core.catalog.cars import CarRow
from ptolemy_core.catalog.deals import DealRow
from ptolemy_core.catalog.schema import car, container, file, source_fault
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.dag import cid
from ptolemy_core.errors import DeliveryError
from ptolemy_core.ulid import new_ulid


@dataclass(frozen=True, slots=True)
class SourceFault:
    """A shard that isn't what its source holds.

    Attributes:
        position: of the shard in its container.
        file_id: of its file's version.
        reason: what was found, without the file's name.
        suspect: nothing says that the file was changed after it was built: the CAR may be wrong.
    """

    position: int
    file_id: int
    reason: str
    suspect: bool


def named(catalog: Catalog, text: str, project: str | None = None) -> list[CarRow]:
    """The built CARs that this text names, by project and number.

    Args:
        catalog: where they are.
        text: a payload CID, a piece CID v1 or v2, a CAR's file name or path, or a project and a number
            as `delta/3` or `delta|000003`. A CID names several CARs where the same content was built twice.
        project: of the only project to look in.

    Raises:
        DeliveryError: it names none.
    """
    wanted = _wanted(text)
    if project is not None:
        wanted = wanted & (container.c.project == project) if is_text(project) else sa.false()
    rows = list(cars.select(catalog, wanted))
    if not rows:
        where = f" of project {project!r}" if project else ""
        raise DeliveryError(
            f"no built CAR{where} matches {text!r}: give a payload CID, a piece CID, the CAR's file name, or "
            "project/number as delta/3; `ptolemy cars PROJECT` lists them"
        )
    return rows


def _wanted(text: str) -> sa.ColumnElement[bool]:
    if not is_text(text):
        return sa.false()  # no CAR is called that, and databases refuse to look
    for separator in "|/":
        name, found, number = text.rpartition(separator)
        if found and number.isdecimal() and len(number) < 10:
            return (container.c.project == name) & (container.c.number == int(number))
    name = os.path.basename(text)
    by_name = car.c.file_name == name
    try:
        binary = cid.from_text(name.removesuffix(".car"))
    except ValueError:
        return by_name
    same = (car.c.payload_cid == binary, car.c.piece_cid_v1 == binary, car.c.piece_cid_v2 == binary)
    return sa.or_(by_name, *same)


def mark(catalog: Catalog, row: CarRow, note: str | None, *, seen: bool = False, journal: str = "") -> None:
    """Mark a CAR as delivered; one that is already keeps its time, and its note unless there is a new one.

    Args:
        catalog: where the CAR is.
        row: of the CAR.
        note: of where it went.
        seen: whether its file was looked at just now, and is the whole CAR.
        journal: what else the history of the mark says.

    Raises:
        DeliveryError: the note isn't text.
    """
    if note is not None and not is_text(note):
        raise DeliveryError(f"the note must be text in UTF-8 without NUL, got {note!r}")
    values: dict[str, object] = {"delivered_at": sa.func.coalesce(car.c.delivered_at, time.time())}
    if note is not None:
        values["delivered_to"] = note
    if seen:
        values["seen_at"] = sa.func.coalesce(car.c.seen_at, time.time())
    with catalog.write() as connection:
        connection.execute(car.update().where(car.c.container_id == row.container_id).values(**values))
        deals.mark(connection, _marking(row, "; ".join(filter(None, (note, journal)))))


def _marking(row: CarRow, note: str) -> DealRow:
    """The deal that a mark is: made by hand, with whom the note says."""
    now = time.time()
    return DealRow(
        id=new_ulid(),
        project=row.project,
        container_id=row.container_id,
        piece_cid_v2=row.piece_cid_v2,
        payload_cid=row.payload_cid,
        car_size=row.car_size,
        piece_size=row.piece_size,
        provider=None,
        engine=deals.MANUAL,
        state=replicas.ACTIVE,
        live=True,
        wallet=None,
        client=None,
        transfer="offline",
        duration=None,
        start_hours=None,
        start_epoch=None,
        end_epoch=None,
        allocation_id=None,
        renews="",
        attempt=1,
        tries=0,
        next_at=now,
        checked_at=None,
        created_at=now,
        changed_at=now,
        fault=None,
        message=note,
        forgiven=False,
    )


def unmark(catalog: Catalog, row: CarRow) -> None:
    """Take the mark back. A CAR whose deals are enough stays delivered."""
    with catalog.write() as connection:
        values = {"delivered_at": None, "delivered_to": None, "seen_at": None}
        connection.execute(car.update().where(car.c.container_id == row.container_id).values(**values))
        deals.unmark(connection, row.container_id, "the mark was taken back")
    replicas.settle_cars(catalog, [row.container_id])


def set_verified(catalog: Catalog, row: CarRow, at: float, ctime: int, inode: int) -> None:
    """Record that a CAR's file passed verification: this very file, unchanged since.

    Args:
        catalog: where the CAR is.
        row: of the CAR.
        at: when its reading began, seconds since 1970.
        ctime: st_ctime_ns of the file.
        inode: of the file, see `safe_delete.inode_of`.
    """
    _update(catalog, row, {"verified_at": at, "failed_at": None, "file_ctime": ctime, "file_inode": inode})


def set_unverified(catalog: Catalog, row: CarRow, *, failed: bool = False) -> None:
    """Record that a CAR doesn't count as verified (any more); `failed`: its file was read, and is wrong."""
    values = {"verified_at": None, "file_ctime": None, "file_inode": None}
    _update(catalog, row, values | {"failed_at": time.time() if failed else None})


def record_comparison(
    catalog: Catalog, row: CarRow, faults: Sequence[SourceFault], unread: Collection[int] = ()
) -> None:
    """Replace what the last comparison of a CAR with its sources found by what this one found.

    What it found of the shards at the positions `unread` stays: they couldn't be compared this time.
    """
    now = time.time()
    mine = source_fault.c.container_id == row.container_id
    with catalog.write() as connection:
        before = connection.scalars(sa.select(source_fault.c.position).where(mine)).all()
        for position in set(before).difference(unread):
            connection.execute(source_fault.delete().where(mine, source_fault.c.position == position))
        if faults:
            values = {"container_id": row.container_id, "found_at": now}
            connection.execute(source_fault.insert(), [asdict(fault) | values for fault in faults])


def suspects(catalog: Catalog, row: CarRow) -> list[tuple[bytes, str]]:
    """Live files of a CAR that differed from it though nothing says that they changed: path and what was found."""
    query = (
        sa.select(file.c.path, source_fault.c.reason)
        .join(source_fault, source_fault.c.file_id == file.c.id)
        .where(
            source_fault.c.container_id == row.container_id,
            source_fault.c.suspect,
            file.c.gone_scan.is_(None),
        )
        .order_by(source_fault.c.position)
    )
    return [(bytes(path), reason) for path, reason in catalog.fetch(query)]


def _update(catalog: Catalog, row: CarRow, values: dict[str, object]) -> None:
    with catalog.write() as connection:
        connection.execute(car.update().where(car.c.container_id == row.container_id).values(**values))
