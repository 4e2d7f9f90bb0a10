"""How CARs are stored: as staged files, or generated from their sources; and which generated ones are dead."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the setting and what each CAR remembers; all CARs that are there are staged."""
    for table in ("project", "car"):
        column = sa.Column("car_storage", sa.String, nullable=False, server_default="staged")
        op.add_column(table, column)
    op.add_column("car", sa.Column("dead_at", sa.Float))
    op.add_column("car", sa.Column("dead_reason", sa.String))
