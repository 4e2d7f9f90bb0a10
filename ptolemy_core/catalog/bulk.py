"""Many rows at once: COPY on Postgres, prepared batches on SQLite."""

import io
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.outage import LostConnectionError

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def insert(
    connection: Connection, table: sa.Table, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Insert rows of these columns, within the connection's transaction.

    Raises:
        LostConnectionError: the connection to the database broke.
    """
    names = ", ".join(f'"{name}"' for name in columns)
    cursor: Any = connection.connection.cursor()
    try:
        if connection.dialect.name == "postgresql":
            text = io.StringIO("".join("\t".join(map(_copy_text, row)) + "\n" for row in rows))
            try:
                cursor.copy_expert(f'COPY "{table.name}" ({names}) FROM STDIN', text)
            except connection.dialect.loaded_dbapi.Error as error:
                if not connection.connection.closed:
                    raise
                connection.invalidate()
                raise LostConnectionError(str(error)) from error
        else:
            marks = ", ".join("?" * len(columns))
            cursor.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', rows)
    finally:
        cursor.close()


def _copy_text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return str(value)
