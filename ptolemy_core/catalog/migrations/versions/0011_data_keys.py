"""Wrapped data keys of projects that are encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table of wrapped data keys."""
    op.create_table(
        "data_key",
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("use", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("alias", sa.String, nullable=False),
        sa.Column("alias_version", sa.Integer, nullable=False),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
    )
