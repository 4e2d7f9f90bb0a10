"""The CAR of a data set's root can be delivered, too."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("dataset_root", sa.Column("delivered_at", sa.Float))
    op.add_column("dataset_root", sa.Column("delivered_to", sa.String))
