"""Whether anyone may fetch a project's pieces becomes a setting: off for the projects that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the setting."""
    op.add_column(
        "project", sa.Column("public_pieces", sa.Boolean, nullable=False, server_default=sa.false())
    )
