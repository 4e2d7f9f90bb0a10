"""Deals: rows that go forward, and their history.

Which state may follow which is said in `ptolemy_core.deals.states`; a change is written only if the deal still is
in the state that it was decided for. A CAR marked as delivered by hand is a deal without a provider. What follows
from deals for the CARs is in `replicas`, numbers of deals are in `deal_counts`.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.replicas import ACTIVE, settle_cars_of
from ptolemy_core.catalog.schema import car, deal, deal_state
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.errors import DealError, NotFoundError

MANUAL = "manual"
"""The engine of deals that are made by hand."""

_MANY = 500


@dataclass(frozen=True, slots=True)
class DealRow:
    """A deal as it is now. CIDs are binary, sizes bytes, times seconds since 1970, epochs the network's.

    Attributes:
        id: a ULID.
        project, container_id: that it was made for.
        piece_cid_v2, payload_cid, car_size, piece_size: of its piece.
        provider: the provider's name; None: the CAR is marked as delivered by hand.
        engine, wallet, client, transfer: how it is made.
        state, live: where it is, and whether that isn't an end.
        duration, start_hours, start_epoch, end_epoch: of the deal; the end is the earliest that is possible.
        allocation_id: that it uses.
        renews: the ID of the deal that it renews; empty: none.
        attempt: with this provider, from 1.
        tries: to send it that came to nothing.
        next_at: when it is due to be sent or asked for.
        checked_at: when its provider last answered.
        created_at, changed_at: when it was recorded, and came into this state.
        fault, message: what was last said of it.
        forgiven: it doesn't count against its provider.
    """

    id: str
    project: str
    container_id: int | None
    piece_cid_v2: bytes
    payload_cid: bytes
    car_size: int
    piece_size: int
    provider: str | None
    engine: str
    state: str
    live: bool
    wallet: str | None
    client: str | None
    transfer: str
    duration: int | None
    start_hours: int | None
    start_epoch: int | None
    end_epoch: int | None
    allocation_id: int | None
    renews: str
    attempt: int
    tries: int
    next_at: float
    checked_at: float | None
    created_at: float
    changed_at: float
    fault: str | None
    message: str
    forgiven: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a deal.

    Attributes:
        deal: as it was when that was decided.
        state, live: where it is now.
        message, fault: what was said.
        values: other columns, such as `next_at`.
    """

    deal: DealRow
    state: str
    live: bool
    message: str = ""
    fault: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StateRow:
    """An entry of a deal's history."""

    state: str
    at: float
    fault: str | None
    message: str


_FIELDS = [one.name for one in fields(DealRow)]


def add(catalog: Catalog, rows: Sequence[DealRow]) -> None:
    """Record new deals; when this returns, a loss of power doesn't lose their IDs."""
    if not rows:
        return
    with catalog.write() as connection:
        _add(connection, rows)
    catalog.sync()


def _add(connection: Connection, rows: Sequence[DealRow]) -> None:
    connection.execute(deal.insert(), [{name: getattr(row, name) for name in _FIELDS} for row in rows])
    entries = [
        {
            "deal_id": row.id,
            "state": row.state,
            "at": row.created_at,
            "fault": row.fault,
            "message": row.message,
        }
        for row in rows
    ]
    connection.execute(deal_state.insert(), entries)


@survives_outage
def record(catalog: Catalog, changes: Sequence[Change], at: float | None = None) -> int:
    """Write what became of deals, in one transaction; returns how many were written.

    A deal that meanwhile is in another state than the one that its change was decided for stays as it is.

    Args:
        catalog: of the deals.
        changes: what became of them.
        at: when, seconds since 1970; None: now.
    """
    if not changes:
        return 0
    now = time.time() if at is None else at
    written = 0
    with catalog.write() as connection:
        pieces = set()
        entries = []
        for change in changes:
            was = change.deal
            moved = change.state != was.state
            values = dict(change.values) | {
                "state": change.state,
                "live": change.live,
                "fault": change.fault,
                "message": change.message,
            }
            if moved:
                values["changed_at"] = now
            mine = (deal.c.id == was.id) & (deal.c.state == was.state)
            if not connection.execute(deal.update().where(mine).values(values)).rowcount:
                continue
            written += 1
            if moved or (change.message and (change.message, change.fault) != (was.message, was.fault)):
                entries.append(
                    {
                        "deal_id": was.id,
                        "state": change.state,
                        "at": now,
                        "fault": change.fault,
                        "message": change.message,
                    }
                )
            if moved and ACTIVE in (was.state, change.state):
                pieces.add(was.piece_cid_v2)
        if entries:
            connection.execute(deal_state.insert(), entries)
        settle_cars_of(connection, car.c.piece_cid_v2, sorted(pieces))
    return written


@survives_outage
def select(
    catalog: Catalog,
    *,
    project: str | None = None,
    pieces: Iterable[bytes] | None = None,
    live: bool | None = None,
    due: float | None = None,
    marks: bool = False,
) -> list[DealRow]:
    """Deals with providers, by the time that they were made.

    Args:
        catalog: of the deals.
        project: that they were made for; None: any.
        pieces: of these pieces alone (CIDs v2).
        live: those that are over (False) or aren't (True) alone.
        due: those that are due at this time alone.
        marks: CARs that are marked as delivered by hand, too.
    """
    query = sa.select(*(deal.c[name] for name in _FIELDS))
    if not marks:
        query = query.where(deal.c.provider.is_not(None))
    if project is not None:
        query = query.where(deal.c.project == project)
    if live is not None:
        query = query.where(deal.c.live if live else ~deal.c.live)
    if due is not None:
        query = query.where(deal.c.next_at <= due)
    query = query.order_by(deal.c.id)
    with catalog.read() as connection:
        if pieces is None:
            return list(_rows(connection.execute(query)))
        wanted = sorted(set(pieces))
        found: list[DealRow] = []
        for low in range(0, len(wanted), _MANY):
            part = query.where(deal.c.piece_cid_v2.in_(wanted[low : low + _MANY]))
            found += _rows(connection.execute(part))
        return found


def named(catalog: Catalog, text: str) -> list[DealRow]:
    """The deals that a text names: a deal's ID, or the beginning of one that no other has.

    Raises:
        NotFoundError: it names none, or several.
    """
    wanted = text.upper()
    found: list[DealRow] = []
    if is_text(wanted) and wanted.isalnum() and wanted.isascii():
        query = sa.select(*(deal.c[name] for name in _FIELDS)).where(deal.c.id.startswith(wanted)).limit(3)
        with catalog.read() as connection:
            found = list(_rows(connection.execute(query)))
    if len(found) != 1:
        many = f"{text[:40]!r} names several deals" if found else f"no deal matches {text[:40]!r}"
        raise NotFoundError(f"{many}: give the whole ID, which `ptolemy deals list PROJECT` shows")
    return found


@survives_outage
def is_live(catalog: Catalog, id: str) -> bool:
    """Whether a deal's state isn't an end."""
    with catalog.read() as connection:
        return bool(connection.scalar(sa.select(deal.c.live).where(deal.c.id == id)))


def history(catalog: Catalog, id: str) -> list[StateRow]:
    """All that a deal went through, the first thing first."""
    query = (
        sa.select(deal_state.c.state, deal_state.c.at, deal_state.c.fault, deal_state.c.message)
        .where(deal_state.c.deal_id == id)
        .order_by(deal_state.c.id)
    )
    with catalog.read() as connection:
        return [StateRow(*row) for row in connection.execute(query)]


def forgive(catalog: Catalog, ids: Sequence[str]) -> None:
    """Let deals that are over no longer count against their providers."""
    with catalog.write() as connection:
        for low in range(0, len(ids), _MANY):
            mine = deal.c.id.in_(ids[low : low + _MANY])
            connection.execute(deal.update().where(mine, ~deal.c.live).values(forgiven=True))


def make_due(catalog: Catalog, ids: Sequence[str]) -> None:
    """Let live deals be sent or asked for at once, with all their tries before them."""
    with catalog.write() as connection:
        for low in range(0, len(ids), _MANY):
            mine = deal.c.id.in_(ids[low : low + _MANY])
            connection.execute(deal.update().where(mine, deal.c.live).values(next_at=0.0, tries=0))


def mark(connection: Connection, row: DealRow) -> None:
    """Record that a CAR is marked as delivered by hand, unless it is already."""
    mine = (deal.c.container_id == row.container_id) & deal.c.provider.is_(None) & (deal.c.state == ACTIVE)
    known = connection.scalar(sa.select(deal.c.id).where(mine).limit(1))
    if known is None:
        _add(connection, [row])
    elif row.message:
        connection.execute(deal.update().where(deal.c.id == known).values(message=row.message))
        _note(connection, [known], ACTIVE, row.message)


def unmark(connection: Connection, container_id: int, message: str) -> None:
    """Record that the mark of a CAR was taken back."""
    mine = (deal.c.container_id == container_id) & deal.c.provider.is_(None) & deal.c.live
    ids = list(connection.scalars(sa.select(deal.c.id).where(mine)))
    if ids:
        values = {"state": "terminated", "live": False, "message": message, "changed_at": time.time()}
        connection.execute(deal.update().where(deal.c.id.in_(ids)).values(values))
        _note(connection, ids, "terminated", message)


def note_dead(connection: Connection, container_id: int, reason: str) -> None:
    """Say in the live deals of a CAR that it can't be fetched any more; an active one has its bytes."""
    mine = (deal.c.container_id == container_id) & deal.c.provider.is_not(None) & deal.c.live
    message = f"the CAR can't be generated any more: {reason}"
    for row in connection.execute(sa.select(deal.c.id, deal.c.state).where(mine)).all():
        connection.execute(deal.update().where(deal.c.id == row.id).values(message=message))
        _note(connection, [row.id], row.state, message)


def _note(connection: Connection, ids: Sequence[str], state: str, message: str) -> None:
    now = time.time()
    rows = [{"deal_id": id, "state": state, "at": now, "message": message} for id in ids]
    connection.execute(deal_state.insert(), rows)


def require_changed(written: int, row: DealRow) -> None:
    """See that a change of one deal was written.

    Raises:
        DealError: the deal went on meanwhile.
    """
    if not written:
        raise DealError(f"deal {row.id} went on meanwhile, and isn't {row.state} any more: look at it again")


def _rows(result: sa.Result[Any]) -> Iterator[DealRow]:
    for row in result:
        values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
        yield DealRow(*values)
