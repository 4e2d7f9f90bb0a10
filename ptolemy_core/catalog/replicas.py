"""What follows from deals for the CARs: which providers hold a piece, and which CARs count as delivered."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import car, container, deal
from ptolemy_core.catalog.schema import project as projects
from ptolemy_core.catalog.schema import provider as provider_table
from ptolemy_core.catalog.store import Catalog

ACTIVE = "active"
"""The state of a deal that counts as a replica."""

_MANY = 500


@survives_outage
def settle(catalog: Catalog, project: str) -> None:
    """Bring the CARs of a project in line with its deals and its number of replicas: which count as delivered."""
    with catalog.write() as connection:
        query = (
            sa.select(car.c.container_id)
            .join(container, container.c.id == car.c.container_id)
            .where(container.c.project == project)
        )
        settle_cars_of(connection, car.c.container_id, list(connection.scalars(query)))


def settle_cars(catalog: Catalog, containers: Sequence[int]) -> None:
    """The same of these CARs, by their containers' ids."""
    with catalog.write() as connection:
        settle_cars_of(connection, car.c.container_id, containers)


def settle_cars_of(connection: Connection, column: sa.Column[Any], keys: Sequence[Any]) -> None:
    """See which of these CARs are delivered: marked by hand, or in as many active deals as their project wants."""
    now = time.time()
    for low in range(0, len(keys), _MANY):
        query = (
            sa.select(
                car.c.container_id,
                car.c.piece_cid_v2,
                car.c.delivered_at,
                car.c.delivered_to,
                projects.c.replicas,
                projects.c.name.label("project"),
            )
            .join(container, container.c.id == car.c.container_id)
            .join(projects, projects.c.name == container.c.project)
            .where(column.in_(keys[low : low + _MANY]))
        )
        rows = connection.execute(query).all()
        held = _holders(connection, {bytes(row.piece_cid_v2) for row in rows})
        marked = _marked(connection, [row.container_id for row in rows])
        others = {name: _elsewhere(connection, name) for name in {row.project for row in rows}}
        for row in rows:
            if row.container_id in marked:
                continue  # its time and note are those of the mark
            names = [
                name for name in held.get(bytes(row.piece_cid_v2), []) if name not in others[row.project]
            ]
            wanted = row.replicas
            delivered = wanted is not None and len(names) >= wanted
            values: dict[str, Any] = {"delivered_at": None, "delivered_to": None, "seen_at": None}
            if delivered:
                values = {"delivered_at": row.delivered_at or now, "delivered_to": ", ".join(names)}
            if delivered or row.delivered_at is not None:
                mine = car.update().where(car.c.container_id == row.container_id)
                connection.execute(mine.values(values))


def _elsewhere(connection: Connection, project: str) -> set[str]:
    """The providers on another network than those that a project names: what they store doesn't count for it."""
    named = connection.scalar(sa.select(projects.c.providers).where(projects.c.name == project)) or ()
    networks: dict[str, str] = {
        name: network
        for name, network in connection.execute(sa.select(provider_table.c.name, provider_table.c.network))
    }
    ours = {networks[name] for name in named if name in networks}
    return {name for name, network in networks.items() if ours and network not in ours}


@survives_outage
def elsewhere(catalog: Catalog, project: str) -> set[str]:
    """The same, of a project by its name."""
    with catalog.read() as connection:
        return _elsewhere(connection, project)


def _holders(connection: Connection, pieces: Iterable[bytes]) -> dict[bytes, list[str]]:
    """The names of the providers with an active deal of each of these pieces, sorted."""
    found: dict[bytes, list[str]] = {}
    wanted = sorted(pieces)
    for low in range(0, len(wanted), _MANY):
        query = (
            sa.select(deal.c.piece_cid_v2, deal.c.provider)
            .distinct()
            .where(
                deal.c.piece_cid_v2.in_(wanted[low : low + _MANY]),
                deal.c.state == ACTIVE,
                deal.c.provider.is_not(None),
            )
            .order_by(deal.c.provider)
        )
        for piece, name in connection.execute(query):
            found.setdefault(bytes(piece), []).append(name)
    return found


def _marked(connection: Connection, containers: Sequence[int]) -> set[int]:
    query = sa.select(deal.c.container_id).where(
        deal.c.container_id.in_(containers), deal.c.provider.is_(None), deal.c.state == ACTIVE
    )
    return {number for number in connection.scalars(query) if number is not None}


def holders(catalog: Catalog, project: str, pieces: Iterable[bytes]) -> dict[bytes, list[str]]:
    """The names of the providers with an active deal of each piece (CIDs v2) that counts for a project, sorted."""
    with catalog.read() as connection:
        held, others = _holders(connection, set(pieces)), _elsewhere(connection, project)
    return {piece: [name for name in names if name not in others] for piece, names in held.items()}


@survives_outage
def stored_by(catalog: Catalog, pieces: Iterable[bytes]) -> dict[bytes, list[str]]:
    """The addresses of the providers with an active deal of each of these pieces (CIDs v2), sorted."""
    with catalog.read() as connection:
        held = _holders(connection, set(pieces))
        if not held:
            return {}
        query = sa.select(provider_table.c.name, provider_table.c.address)
        addresses: dict[str, str] = {name: address for name, address in connection.execute(query)}
    return {piece: sorted(addresses[name] for name in names) for piece, names in held.items()}


def is_marked(catalog: Catalog, container_id: int) -> bool:
    """Whether a CAR is marked as delivered by hand."""
    with catalog.read() as connection:
        return bool(_marked(connection, [container_id]))
