"""Numbers of deals: what each provider has, how a project's are, and which projects have some that are due."""

from dataclasses import dataclass

import sqlalchemy as sa

from ptolemy_core.catalog.deals import MANUAL
from ptolemy_core.catalog.replicas import ACTIVE
from ptolemy_core.catalog.schema import deal, deal_state
from ptolemy_core.catalog.store import Catalog


@dataclass(frozen=True, slots=True)
class Load:
    """What a provider has: deals that are on their way, their bytes, and the bytes of all live ones."""

    pending: int = 0
    pending_bytes: int = 0
    total_bytes: int = 0


def loads(catalog: Catalog) -> dict[str, Load]:
    """What each provider has; padded bytes."""
    pending = sa.case((deal.c.state != ACTIVE, 1), else_=0)
    query = (
        sa.select(
            deal.c.provider,
            sa.func.sum(pending),
            sa.func.sum(pending * deal.c.piece_size),
            sa.func.sum(deal.c.piece_size),
        )
        .where(deal.c.live, deal.c.provider.is_not(None))
        .group_by(deal.c.provider)
    )
    with catalog.read() as connection:
        return {name: Load(*map(int, rest)) for name, *rest in connection.execute(query)}


def counts(catalog: Catalog, project: str) -> list[tuple[str, str, int, int]]:
    """Provider, state, number and padded bytes of a project's deals."""
    query = (
        sa.select(deal.c.provider, deal.c.state, sa.func.count(), sa.func.sum(deal.c.piece_size))
        .where(deal.c.project == project, deal.c.provider.is_not(None))
        .group_by(deal.c.provider, deal.c.state)
        .order_by(deal.c.provider, deal.c.state)
    )
    with catalog.read() as connection:
        return [(name, state, number, int(size)) for name, state, number, size in connection.execute(query)]


def states_over_time(catalog: Catalog, project: str) -> list[tuple[float, str, str]]:
    """Time, deal and state of all changes of a project's deals, in order."""
    query = (
        sa.select(deal_state.c.at, deal_state.c.deal_id, deal_state.c.state)
        .join(deal, deal.c.id == deal_state.c.deal_id)
        .where(deal.c.project == project, deal.c.provider.is_not(None))
        .order_by(deal_state.c.id)
    )
    with catalog.read() as connection:
        return [(at, id, state) for at, id, state in connection.execute(query)]


def due_projects(catalog: Catalog, now: float) -> list[str]:
    """Projects with live deals that are due."""
    query = (
        sa.select(deal.c.project)
        .distinct()
        .where(deal.c.live, deal.c.provider.is_not(None), deal.c.engine != MANUAL, deal.c.next_at <= now)
    )
    with catalog.read() as connection:
        return sorted(connection.scalars(query))
