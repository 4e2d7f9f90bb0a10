"""Deletion: what a CAR's file was like when it passed, source files that differed, files set aside for deletion."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the columns and the table."""
    op.add_column("car", sa.Column("file_ctime", sa.BigInteger))
    op.add_column("car", sa.Column("file_inode", sa.BigInteger))
    op.add_column("car", sa.Column("failed_at", sa.Float))
    op.add_column("car", sa.Column("seen_at", sa.Float))
    op.add_column("deletion", sa.Column("aside", sa.LargeBinary))
    op.add_column("deletion", sa.Column("inode", sa.BigInteger))
    op.add_column("deletion", sa.Column("root", sa.BigInteger))
    op.create_table(
        "source_fault",
        sa.Column(
            "container_id", _BIG_ID, sa.ForeignKey("container.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("file_id", _BIG_ID, sa.ForeignKey("file.id"), nullable=False, index=True),
        sa.Column("reason", sa.String, nullable=False),
        sa.Column("suspect", sa.Boolean, nullable=False),
        sa.Column("found_at", sa.Float, nullable=False),
    )
