"""Settings of projects whose target_dir is a URL."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the profile of credentials, and the interval of scans."""
    op.add_column("project", sa.Column("source_profile", sa.String))
    op.add_column("project", sa.Column("rescan_minutes", sa.Integer, nullable=False, server_default="60"))
