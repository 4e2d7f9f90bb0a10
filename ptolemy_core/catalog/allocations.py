"""Allocations of data cap, imported from what other tools list."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from ptolemy_core.catalog.schema import allocation, deal, provider
from ptolemy_core.catalog.store import Catalog


@dataclass(frozen=True, slots=True)
class AllocationRow:
    """An allocation: data cap for one piece at one provider.

    Attributes:
        network, id: what names it.
        provider: the provider's address.
        piece_cid_v1, piece_size: of its piece: the CID as bytes, padded bytes.
        client: the address of the wallet that it belongs to; None: not known.
        term_min, term_max: shortest and longest duration in epochs; None: not known.
        expiration: epoch until which a deal must have started; None: not known.
    """

    network: str
    id: int
    provider: str
    piece_cid_v1: bytes
    piece_size: int
    client: str | None = None
    term_min: int | None = None
    term_max: int | None = None
    expiration: int | None = None


def put(catalog: Catalog, rows: Sequence[AllocationRow]) -> int:
    """Keep allocations, those that are known already as they are given now; returns how many are new."""
    now = time.time()
    with catalog.write() as connection:
        known = set(connection.execute(sa.select(allocation.c.network, allocation.c.id)).tuples())
        for row in rows:
            key = (allocation.c.network == row.network) & (allocation.c.id == row.id)
            connection.execute(allocation.delete().where(key))
        if rows:
            connection.execute(allocation.insert(), [asdict(row) | {"imported_at": now} for row in rows])
    return len({(row.network, row.id) for row in rows} - known)


def free(catalog: Catalog, network: str) -> list[AllocationRow]:
    """The allocations of a network that no live deal uses, by ID."""
    used = (
        sa.select(deal.c.allocation_id)
        .join(provider, provider.c.name == deal.c.provider)
        .where(deal.c.live, deal.c.allocation_id.is_not(None), provider.c.network == network)
    )
    columns = [allocation.c[name] for name in AllocationRow.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .where(allocation.c.network == network, allocation.c.id.not_in(used))
        .order_by(allocation.c.id)
    )
    with catalog.read() as connection:
        return [_row(row) for row in connection.execute(query)]


def _row(row: sa.Row[Any]) -> AllocationRow:
    values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    return AllocationRow(*values)
