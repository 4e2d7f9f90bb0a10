"""Deals: providers, deals with their history, allocations, settings; marks of delivery become deals made by hand."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def upgrade() -> None:
    """Add the settings and tables, and a deal for each CAR that was marked as delivered."""
    for column in (
        sa.Column("replicas", sa.Integer),
        sa.Column("providers", sa.String, nullable=False, server_default="[]"),
        sa.Column("deal_wallet", sa.String),
        sa.Column("deal_days", sa.Integer, nullable=False, server_default="540"),
        sa.Column("deal_start_hours", sa.Integer),
        sa.Column("deal_verified", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("deal_transfer", sa.String, nullable=False, server_default="pull"),
        sa.Column("piece_url", sa.String),
        sa.Column("deal_auto", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("deal_renew_days", sa.Integer),
    ):
        op.add_column("project", column)
    _provider()
    _deal()
    _history()
    _allocation()
    _marks()


def _provider() -> None:
    op.create_table(
        "provider",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("network", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("plain_http", sa.Boolean, nullable=False),
        sa.Column("retrieval_url", sa.String),
        sa.Column("max_pending", sa.Integer),
        sa.Column("max_pending_bytes", sa.BigInteger),
        sa.Column("max_total_bytes", sa.BigInteger),
        sa.Column("rate", sa.Float, nullable=False),
        sa.Column("added_at", sa.Float, nullable=False),
        sa.Column("away_since", sa.Float),
        sa.Column("away_until", sa.Float),
        sa.Column("away_reason", sa.String),
    )


def _deal() -> None:
    op.create_table(
        "deal",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False, index=True),
        sa.Column("container_id", sa.BigInteger),
        sa.Column("piece_cid_v2", sa.LargeBinary, nullable=False),
        sa.Column("payload_cid", sa.LargeBinary, nullable=False),
        sa.Column("car_size", sa.BigInteger, nullable=False),
        sa.Column("piece_size", sa.BigInteger, nullable=False),
        sa.Column("provider", sa.String, sa.ForeignKey("provider.name"), index=True),
        sa.Column("engine", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("live", sa.Boolean, nullable=False),
        sa.Column("wallet", sa.String),
        sa.Column("client", sa.String),
        sa.Column("transfer", sa.String, nullable=False),
        sa.Column("duration", sa.BigInteger),
        sa.Column("start_hours", sa.Integer),
        sa.Column("start_epoch", sa.BigInteger),
        sa.Column("end_epoch", sa.BigInteger),
        sa.Column("allocation_id", sa.BigInteger),
        sa.Column("renews", sa.String, nullable=False, server_default=sa.text("''")),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("next_at", sa.Float, nullable=False),
        sa.Column("checked_at", sa.Float),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("changed_at", sa.Float, nullable=False),
        sa.Column("fault", sa.String),
        sa.Column("message", sa.String, nullable=False),
        sa.Column("forgiven", sa.Boolean, nullable=False),
    )
    live, with_provider = sa.text("live"), sa.text("live AND provider IS NOT NULL")
    op.create_index(
        "deal_once",
        "deal",
        ["piece_cid_v2", "provider", "renews"],
        unique=True,
        postgresql_where=with_provider,
        sqlite_where=with_provider,
    )
    op.create_index("deal_by_piece", "deal", ["piece_cid_v2"])
    op.create_index("deal_due", "deal", ["next_at"], postgresql_where=live, sqlite_where=live)


def _history() -> None:
    op.create_table(
        "deal_state",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("deal_id", sa.String, sa.ForeignKey("deal.id"), nullable=False, index=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("fault", sa.String),
        sa.Column("message", sa.String, nullable=False),
    )


def _allocation() -> None:
    op.create_table(
        "allocation",
        sa.Column("network", sa.String, primary_key=True),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("client", sa.String),
        sa.Column("provider", sa.String, nullable=False),
        sa.Column("piece_cid_v1", sa.LargeBinary, nullable=False, index=True),
        sa.Column("piece_size", sa.BigInteger, nullable=False),
        sa.Column("term_min", sa.BigInteger),
        sa.Column("term_max", sa.BigInteger),
        sa.Column("expiration", sa.BigInteger),
        sa.Column("imported_at", sa.Float, nullable=False),
    )


def _ulid(seconds: float) -> str:
    number = int(seconds * 1000) << 80 | secrets.randbits(80)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def _marks() -> None:
    """A deal of the engine `manual` for each CAR that is marked as delivered, with its time and note."""
    connection = op.get_bind()
    names = ("piece_cid_v2", "payload_cid", "car_size", "piece_size", "delivered_at", "delivered_to")
    car = sa.table("car", sa.column("container_id"), *map(sa.column, names))
    container = sa.table("container", sa.column("id"), sa.column("project"))
    marked = (
        connection.execute(
            sa.select(container.c.project, car)
            .join_from(car, container, container.c.id == car.c.container_id)
            .where(car.c.delivered_at.is_not(None))
            .order_by(car.c.container_id)
        )
        .mappings()
        .all()
    )
    deals, history = [], []
    for row in marked:
        at = row["delivered_at"]
        message = row["delivered_to"] or ""
        same = {"id": _ulid(at), "state": "active", "message": message}
        own = {name: row[name] for name in ("project", "container_id", *names[:4])}
        fixed = {"engine": "manual", "live": True, "transfer": "offline", "attempt": 1, "tries": 0}
        times = {"next_at": at, "created_at": at, "changed_at": at}
        deals.append(same | own | fixed | times | {"forgiven": False})
        history.append({"deal_id": same["id"], "state": "active", "at": at, "message": message})
    if deals:
        typed = sa.table("deal", *(sa.column(name) for name in deals[0]))
        connection.execute(typed.insert(), deals)
        connection.execute(sa.table("deal_state", *map(sa.column, history[0])).insert(), history)
