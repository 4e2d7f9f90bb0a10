"""The state in which a build read each file: ctime in nanoseconds and inode."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns; of CARs that were built before, the state isn't known."""
    op.add_column("built_shard", sa.Column("read_ctime", sa.BigInteger))
    op.add_column("built_shard", sa.Column("read_inode", sa.BigInteger))
