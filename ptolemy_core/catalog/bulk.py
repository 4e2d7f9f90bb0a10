"""Many rows at once: COPY on Postgres, statements of many rows on SQLite."""

import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog.outage import LostConnectionError
from ptolemy_core.errors import SourceError
from ptolemy_core.tree import paths

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_ROWS = 50
"""Rows of one SQLite statement: one row each costs twice the time."""

_LIMIT = "54000"
"""The SQLSTATE program_limit_exceeded: here, of an index entry (2,704 bytes once compressed)."""


def insert(
    connection: Connection,
    table: sa.Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    constants: Mapping[str, Any] | None = None,
    *,
    scattered: bool = False,
) -> None:
    """Insert rows of these columns, within the connection's transaction.

    Args:
        connection: of the catalog.
        table: to insert into.
        columns: of the rows.
        rows: their values.
        constants: columns that are the same in all rows.
        scattered: an index of the table has them in quite another order.

    Raises:
        LostConnectionError: the connection to the database broke.
    """
    same = constants or {}
    names = ", ".join(f'"{name}"' for name in (*same, *columns))
    cursor: Any = connection.connection.cursor()
    try:
        if connection.dialect.name == "postgresql":
            head = "".join(_copy_text(value) + "\t" for value in same.values())
            text = io.StringIO("".join(head + "\t".join(map(_copy_text, row)) + "\n" for row in rows))
            try:
                cursor.copy_expert(f'COPY "{table.name}" ({names}) FROM STDIN', text)
            except connection.dialect.loaded_dbapi.Error as error:
                if not connection.connection.closed:
                    raise
                connection.invalidate()
                raise LostConnectionError(str(error)) from error
        else:
            insert_into = f'INSERT INTO "{table.name}" ({names}) VALUES'
            if scattered:  # SQLite keeps a copy of each page that a statement of many rows changes
                marks = ", ".join("?" * (len(same) + len(columns)))
                fixed = tuple(same.values())
                cursor.executemany(f"{insert_into} ({marks})", ((*fixed, *row) for row in rows))
            else:
                _insert_sqlite(cursor, insert_into, rows, len(columns), same)
    finally:
        cursor.close()


@contextmanager
def indexed(rows: Sequence[bytes]) -> Iterator[None]:
    """Name the path that Postgres can't index, should the block's `insert` of rows with these paths fail on one.

    Raises:
        SourceError: there is one, with what to do.
    """
    try:
        yield
    except Exception as error:
        if getattr(error, "pgcode", None) != _LIMIT:
            raise
        place = re.search(r"line (\d+)", getattr(getattr(error, "diag", None), "context", None) or "")
        path = rows[int(place[1]) - 1] if place else max(rows, key=len)
        raise SourceError(
            f"{paths.display(path)} has a path of {len(path)} bytes, and Postgres can index some 2,700: shorten "
            "names in it, leave it out by an exclude pattern, or keep the catalog in SQLite"
        ) from error


def _insert_sqlite(
    cursor: Any, insert_into: str, rows: Iterable[Sequence[Any]], width: int, same: Mapping[str, Any]
) -> None:
    fixed = tuple(same.values())
    waiting = iter(rows)
    statement, size = "", 0
    while part := list(itertools.islice(waiting, _ROWS)):
        if len(part) != size:
            size = len(part)
            first = [f"?{1 + k}" for k in range(len(fixed))]
            marks = (
                ", ".join(first + [f"?{1 + len(fixed) + row * width + k}" for k in range(width)])
                for row in range(size)
            )
            statement = f"{insert_into} " + ", ".join(f"({of})" for of in marks)
        cursor.execute(statement, (*fixed, *itertools.chain.from_iterable(part)))


def _copy_text(value: Any) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return str(value)
