"""Rules, watching and skipped files."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the settings, which leave existing projects as they were, and the tables."""
    for column in (
        sa.Column("include", sa.String, nullable=False, server_default="[]"),
        sa.Column("exclude", sa.String, nullable=False, server_default="[]"),
        sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("on_error", sa.String, nullable=False, server_default="fail"),
        sa.Column("watch", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("auto", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("quiet_seconds", sa.Integer, nullable=False, server_default="60"),
    ):
        op.add_column("project", column)
    key = sa.ForeignKey("file.id")
    op.create_table(
        "absence",
        sa.Column("file_id", _BIG_ID, key, primary_key=True, autoincrement=False),
        sa.Column("gone_scan", _BIG_ID, sa.ForeignKey("scan.id"), primary_key=True, autoincrement=False),
        sa.Column("back_scan", _BIG_ID, sa.ForeignKey("scan.id"), nullable=False),
    )
    op.create_table(
        "folder",
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("path", sa.LargeBinary, primary_key=True),
        sa.Column("mtime", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "skipped",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False, index=True),
        sa.Column("file_id", _BIG_ID, sa.ForeignKey("file.id"), nullable=False, index=True),
        sa.Column("container", sa.Integer, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("skipped_at", sa.Float, nullable=False),
    )
