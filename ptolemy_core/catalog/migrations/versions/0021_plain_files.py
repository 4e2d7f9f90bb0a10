"""Rows of files without foreign keys, whose checks cost more than the rows; scans keep counts over what they left."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_COLUMNS = ("project", "first_scan", "gone_scan")
_KEY = re.compile(rf",\s*FOREIGN KEY\s*\((?:{'|'.join(_COLUMNS)})\)\s*REFERENCES\s+\w+\s*\(\w+\)")


def upgrade() -> None:
    """Add the column, and drop the keys. No row is touched."""
    op.add_column("scan", sa.Column("live", sa.String))
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _drop_on_sqlite(connection)
        return
    for column in _COLUMNS:
        op.execute(f"ALTER TABLE file DROP CONSTRAINT IF EXISTS file_{column}_fkey")


def _drop_on_sqlite(connection: sa.Connection) -> None:
    """Edit the definition of the table, as SQLite's page on ALTER TABLE describes: anything else copies all rows.

    An SQLite that was built not to let anybody do that, as that of macOS, goes on checking.
    """
    sql = connection.scalar(sa.text("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'file'"))
    version = connection.scalar(sa.text("PRAGMA schema_version"))
    connection.execute(sa.text("PRAGMA writable_schema = ON"))
    try:
        edit = sa.text("UPDATE sqlite_master SET sql = :sql WHERE type = 'table' AND name = 'file'")
        connection.execute(edit, {"sql": _KEY.sub("", str(sql))})
        connection.execute(sa.text(f"PRAGMA schema_version = {int(version) + 1}"))
    except sa.exc.DBAPIError as error:
        if "may not be modified" not in str(error):
            raise
    finally:
        connection.execute(sa.text("PRAGMA writable_schema = RESET"))
