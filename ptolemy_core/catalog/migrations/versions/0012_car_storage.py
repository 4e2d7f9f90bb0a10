"""How CARs are stored: as staged files, or generated from their sources; and which generated ones are dead."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_BIG_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Add the setting and what each CAR remembers; all CARs that are there are staged."""
    for table in ("project", "car"):
        column = sa.Column("car_storage", sa.String, nullable=False, server_default="staged")
        op.add_column(table, column)
    op.add_column("car", sa.Column("dead_at", sa.Float))
    op.add_column("car", sa.Column("dead_reason", sa.String))
    op.create_table(
        "replaced_shard",
        sa.Column("container_id", _BIG_ID, sa.ForeignKey("car.container_id"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("file_id", _BIG_ID, sa.ForeignKey("file.id"), nullable=False, index=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("cid", sa.LargeBinary, nullable=False),
        sa.Column("car_offset", sa.BigInteger, nullable=False),
    )
