"""Data set roots; shards by CID in the order of their CARs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the table of data set roots, and replace the index of shards' CIDs."""
    op.create_table(
        "dataset_root",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False),
        sa.Column("scan", _BIG_ID, sa.ForeignKey("scan.id"), nullable=False),
        sa.Column("root_cid", sa.LargeBinary, nullable=False, index=True),
        sa.Column("entries", sa.BigInteger, nullable=False),
        sa.Column("data_bytes", sa.BigInteger, nullable=False),
        sa.Column("left_out", sa.BigInteger, nullable=False),
        sa.Column("blocks", sa.BigInteger, nullable=False),
        sa.Column("file_name", sa.String, nullable=False),
        sa.Column("piece_cid_v1", sa.LargeBinary, nullable=False, index=True),
        sa.Column("piece_cid_v2", sa.LargeBinary, nullable=False, index=True),
        sa.Column("car_size", sa.BigInteger, nullable=False),
        sa.Column("piece_size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("built_at", sa.Float, nullable=False),
        sa.Column("build_seconds", sa.Float, nullable=False),
        sa.UniqueConstraint("project", "scan"),
    )
    op.drop_index("ix_built_shard_cid", "built_shard")
    op.create_index("built_shard_by_cid", "built_shard", ["cid", "container_id", "position"])
