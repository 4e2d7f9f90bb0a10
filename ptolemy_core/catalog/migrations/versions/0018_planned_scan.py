"""A scan says whether all that it left is planned, so that a status of millions of files needn't look at each."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the column; of earlier scans it isn't known."""
    op.add_column("scan", sa.Column("planned", sa.Boolean))
