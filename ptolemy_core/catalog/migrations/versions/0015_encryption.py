"""Encrypted projects: whether names are encrypted, the salt of each version of a file, CARs without a name; and the
SHA-256 of files.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("project", sa.Column("encrypt_names", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("project", sa.Column("file_sha256", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("file", sa.Column("sha256", sa.LargeBinary))
    op.add_column("file", sa.Column("header", sa.LargeBinary))
    op.add_column("car", sa.Column("named", sa.Boolean, nullable=False, server_default=sa.true()))
