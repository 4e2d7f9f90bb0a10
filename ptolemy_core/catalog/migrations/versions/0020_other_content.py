"""A version of a file tells that its source has other bytes, though size and time stayed: it can't come back."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    """Add the column; of earlier versions it isn't known."""
    op.add_column("file", sa.Column("other_content", sa.Boolean))
