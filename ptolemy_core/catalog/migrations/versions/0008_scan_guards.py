"""What guards a scan against a target that isn't there; tasks in columns; left-out entries by an index."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns, which leave existing projects and scans as they were."""
    op.add_column("project", sa.Column("max_loss", sa.Integer, nullable=False, server_default="50"))
    op.add_column("scan", sa.Column("mounts", sa.String))
    op.add_column("scan", sa.Column("refused", sa.String))
    op.add_column("progress", sa.Column("work", sa.String))
    op.add_column("progress", sa.Column("container", sa.Integer))
    left_out = sa.text("kind < 0 AND gone_scan IS NULL")
    op.create_index("file_left_out", "file", ["project"], postgresql_where=left_out, sqlite_where=left_out)
