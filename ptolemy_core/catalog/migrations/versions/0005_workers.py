"""Processes that build CARs, on any machine, and what they hand on to each other."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"


def upgrade() -> None:
    """Create the tables of workers and of what steps hand on."""
    op.create_table(
        "worker",
        sa.Column("host", sa.String, primary_key=True),
        sa.Column("pid", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("project", sa.String),
        sa.Column("container", sa.Integer),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("heartbeat_at", sa.Float, nullable=False),
    )
    op.create_table(
        "handover",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("written_at", sa.Float, nullable=False),
    )
