"""Whether a CAR's own SHA-256 is recorded becomes a setting; projects that are there keep recording it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"


def upgrade() -> None:
    """Add the setting: off by default, on for the projects that are there."""
    op.add_column("project", sa.Column("car_sha256", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(
        sa.text("UPDATE project SET car_sha256 = :on").bindparams(sa.bindparam("on", True, sa.Boolean))
    )
