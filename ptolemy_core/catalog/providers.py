"""Storage providers that deals are made with: how they are reached, what they may get, and whether they are away."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from ptolemy_core.catalog.outage import survives_outage
from ptolemy_core.catalog.schema import deal, project, provider
from ptolemy_core.catalog.store import Catalog
from ptolemy_core.catalog.text import is_text
from ptolemy_core.errors import NotFoundError, SettingsError


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """A storage provider.

    Attributes:
        name: by which projects name it.
        engine: that speaks to it.
        network, address: mainnet and f01234, or calibration and t01234.
        url: of its HTTP API; empty where the engine needs none.
        plain_http: whether http:// is fine although it isn't this machine.
        retrieval_url: template of where a piece can be fetched from it; None: the engine's usual place.
        max_pending, max_pending_bytes: deals and padded bytes that may be on their way to it at once.
        max_total_bytes: padded bytes that it may have in all.
        rate: requests a second.
        away_since, away_until, away_reason: since when it doesn't answer, when it is asked next, and why.
    """

    name: str
    engine: str
    network: str
    address: str
    url: str = ""
    plain_http: bool = False
    retrieval_url: str | None = None
    max_pending: int | None = None
    max_pending_bytes: int | None = None
    max_total_bytes: int | None = None
    rate: float = 10.0
    added_at: float = 0.0
    away_since: float | None = None
    away_until: float | None = None
    away_reason: str | None = None


CHANGEABLE = (
    "url",
    "plain_http",
    "retrieval_url",
    "max_pending",
    "max_pending_bytes",
    "max_total_bytes",
    "rate",
)
"""What of a provider may change; the others say who it is."""


def add(catalog: Catalog, row: ProviderRow) -> bool:
    """Store a provider; if it already exists, change its settings and return False.

    Raises:
        SettingsError: another provider has this name, or this provider another name.
    """
    values = asdict(row) | {"added_at": time.time()}
    try:
        with catalog.write() as connection:
            _require_one_name(connection, row)
            connection.execute(provider.insert().values(values))
            return True
    except IntegrityError:
        pass
    known = get(catalog, row.name)
    fixed = ("engine", "network", "address")
    if any(getattr(known, name) != getattr(row, name) for name in fixed):
        raise SettingsError(
            f"provider {row.name!r} is defined already, as {known.address} of the engine {known.engine}: use another "
            "name, since its deals stay what they are"
        )
    with catalog.write() as connection:
        new = {name: values[name] for name in CHANGEABLE}
        connection.execute(provider.update().where(provider.c.name == row.name).values(new))
    return False


def _require_one_name(connection: Connection, row: ProviderRow) -> None:
    """A provider under two names would count as two replicas of a piece that one machine has."""
    same = (provider.c.network == row.network) & (provider.c.address == row.address)
    other = connection.scalar(sa.select(provider.c.name).where(same, provider.c.name != row.name))
    if other is not None:
        raise SettingsError(
            f"{row.address} is provider {other!r} already: two names for it would count as two replicas, so use "
            f"{other!r}"
        )


@survives_outage
def rows(catalog: Catalog, names: Sequence[str] | None = None) -> list[ProviderRow]:
    """All providers by name; or those of these names, in their order.

    Raises:
        NotFoundError: one of the names is no provider's.
    """
    with catalog.read() as connection:
        found = {row["name"]: _row(row) for row in connection.execute(sa.select(provider)).mappings()}
    if names is None:
        return [found[name] for name in sorted(found)]
    for name in names:
        if name not in found:
            known = ", ".join(sorted(found)[:10]) or "none yet"
            raise NotFoundError(
                f"no provider {name[:80]!r}: add it with `ptolemy providers add` (providers: {known})"
            )
    return [found[name] for name in names]


def get(catalog: Catalog, name: str) -> ProviderRow:
    """The provider of a name.

    Raises:
        NotFoundError: there is none.
    """
    return rows(catalog, [name])[0]


def remove(catalog: Catalog, name: str) -> None:
    """Remove a provider that never had a deal.

    Raises:
        NotFoundError: there is none of that name.
        SettingsError: it has deals, or a project names it.
    """
    get(catalog, name)
    with catalog.write() as connection:
        query = sa.select(project.c.name, project.c.providers).order_by(project.c.name)
        users = [user for user, names in connection.execute(query) if name in names]
        if users:
            raise SettingsError(
                f"project {users[0]!r} has provider {name!r} in its setting providers: take it out there first"
            )
        if connection.scalar(sa.select(deal.c.id).where(deal.c.provider == name).limit(1)) is not None:
            raise SettingsError(
                f"provider {name!r} has deals, and their history stays: take it out of your projects' providers "
                "instead"
            )
        connection.execute(provider.delete().where(provider.c.name == name))


@survives_outage
def set_away(catalog: Catalog, name: str, until: float, reason: str) -> None:
    """Record that a provider doesn't answer, and when it is asked next."""
    since = sa.func.coalesce(provider.c.away_since, time.time())
    values = {"away_since": since, "away_until": until, "away_reason": reason if is_text(reason) else "?"}
    with catalog.write() as connection:
        connection.execute(provider.update().where(provider.c.name == name).values(values))


@survives_outage
def set_back(catalog: Catalog, name: str) -> None:
    """Record that a provider answers."""
    values = {"away_since": None, "away_until": None, "away_reason": None}
    with catalog.write() as connection:
        mine = provider.update().where(provider.c.name == name, provider.c.away_since.is_not(None))
        connection.execute(mine.values(values))


def _row(row: sa.RowMapping) -> ProviderRow:
    return ProviderRow(**dict(row))
