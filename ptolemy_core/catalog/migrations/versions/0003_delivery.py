"""Delivery: staging budget, verified and delivered CARs, waiting projects, deleted sources."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the columns and tables."""
    op.add_column("project", sa.Column("staging_budget", sa.Integer))
    op.add_column("car", sa.Column("verified_at", sa.Float))
    op.add_column("car", sa.Column("delivered_at", sa.Float))
    op.add_column("car", sa.Column("delivered_to", sa.String))
    op.create_table(
        "waiting",
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("since", sa.Float, nullable=False),
    )
    op.create_table(
        "deletion",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False, index=True),
        sa.Column("file_id", _BIG_ID, sa.ForeignKey("file.id"), nullable=False, unique=True),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime", sa.BigInteger, nullable=False),
        sa.Column("cid", sa.LargeBinary),
        sa.Column("intended_at", sa.Float, nullable=False),
        sa.Column("deleted_at", sa.Float),
    )
