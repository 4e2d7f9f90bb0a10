"""Processes that build CARs, on any machine."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0001"


def upgrade() -> None:
    """Create the table of workers."""
    op.create_table(
        "worker",
        sa.Column("host", sa.String, primary_key=True),
        sa.Column("pid", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("project", sa.String),
        sa.Column("container", sa.Integer),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("heartbeat_at", sa.Float, nullable=False),
    )
