"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "project",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("target_dir", sa.String, nullable=False),
        sa.Column("staging_dir", sa.String, nullable=False),
        sa.Column("shard_size", sa.Integer, nullable=False),
        sa.Column("car_size", sa.Integer, nullable=False),
        sa.Column("encryption", sa.String, nullable=False),
        sa.Column("load_type", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
    )
    op.create_table(
        "scan",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False, index=True),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("finished_at", sa.Float),
    )
    op.create_table(
        "file",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("mtime", sa.BigInteger, nullable=False),
        sa.Column("target", sa.LargeBinary),
        sa.Column("reason", sa.String),
        sa.Column("first_scan", _BIG_ID, sa.ForeignKey("scan.id"), nullable=False),
        sa.Column("gone_scan", _BIG_ID, sa.ForeignKey("scan.id")),
        sa.Column("cid", sa.LargeBinary),
    )
    op.create_index("file_by_path", "file", ["project", "path", "first_scan"])
    known = sa.text("cid IS NOT NULL")
    op.create_index("file_by_cid", "file", ["cid"], postgresql_where=known, sqlite_where=known)
    op.create_table(
        "container",
        sa.Column("id", _BIG_ID, primary_key=True, autoincrement=True),
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("items", sa.BigInteger, nullable=False),
        sa.Column("data_bytes", sa.BigInteger, nullable=False),
        sa.Column("car_size", sa.BigInteger, nullable=False),
        sa.Column("piece_size", sa.BigInteger, nullable=False),
        sa.Column("planned_at", sa.Float, nullable=False),
        sa.UniqueConstraint("project", "number"),
        sqlite_autoincrement=True,  # a dropped plan's ids must not come back: a late receipt would fit them
    )
    key = sa.ForeignKey("container.id", ondelete="CASCADE")
    op.create_table(
        "shard",
        sa.Column("container_id", _BIG_ID, key, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("file_id", _BIG_ID, sa.ForeignKey("file.id"), nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
    )
    key = sa.ForeignKey("container.id")
    op.create_table(
        "car",
        sa.Column("container_id", _BIG_ID, key, primary_key=True, autoincrement=False),
        sa.Column("file_name", sa.String, nullable=False),
        sa.Column("payload_cid", sa.LargeBinary, nullable=False, index=True),
        sa.Column("piece_cid_v1", sa.LargeBinary, nullable=False, index=True),
        sa.Column("piece_cid_v2", sa.LargeBinary, nullable=False, index=True),
        sa.Column("car_size", sa.BigInteger, nullable=False),
        sa.Column("piece_size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("built_at", sa.Float, nullable=False),
        sa.Column("build_seconds", sa.Float, nullable=False),
    )
    key = sa.ForeignKey("car.container_id")
    op.create_table(
        "built_shard",
        sa.Column("container_id", _BIG_ID, key, primary_key=True, autoincrement=False),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("cid", sa.LargeBinary, nullable=False, index=True),
        sa.Column("car_offset", sa.BigInteger, nullable=False),
        sa.Column("nodes", sa.LargeBinary),
    )
    op.create_table(
        "progress",
        sa.Column("project", sa.String, sa.ForeignKey("project.name"), primary_key=True),
        sa.Column("task", sa.String, primary_key=True),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("total", sa.BigInteger),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
