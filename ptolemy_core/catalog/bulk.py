"""Many rows at once: COPY in binary form on Postgres, prepared statements of many rows on SQLite."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from ptolemy_core.catalog import copy_binary
from ptolemy_core.catalog.outage import LostConnectionError
from ptolemy_core.errors import SourceError
from ptolemy_core.tree import paths

_PART = 10_000
"""Rows that are made columns at once."""

_COPY_BYTES = 1 << 18
"""Bytes that one message to Postgres holds at most."""

_ROWS = 100
"""Rows of one SQLite statement: one row each costs twice the time."""

_VALUES = 900
"""Values of one SQLite statement: all versions take 999."""

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
    if scattered and connection.dialect.name == "sqlite":
        # SQLite keeps a copy of each page that a statement of many rows changes
        same = constants or {}
        fixed = tuple(same.values())
        marks = ", ".join("?" * (len(same) + len(columns)))
        statement = f"{_into(table, (*same, *columns))} VALUES ({marks})"
        cursor: Any = connection.connection.cursor()
        try:
            cursor.executemany(statement, ((*fixed, *row) for row in rows))
        finally:
            cursor.close()
        return
    waiting = iter(rows)
    parts = iter(lambda: list(zip(*itertools.islice(waiting, _PART), strict=True)), [])
    _insert(connection, table, (dict(zip(columns, part, strict=True)) for part in parts), constants or {})


def insert_columns(
    connection: Connection,
    table: sa.Table,
    columns: Mapping[str, Sequence[Any]],
    constants: Mapping[str, Any] | None = None,
) -> None:
    """`insert` of rows that are given by their columns: lists or tuples of values, by name.

    Raises:
        LostConnectionError: the connection to the database broke.
    """
    _insert(connection, table, iter((columns,)), constants or {})


def _insert(
    connection: Connection,
    table: sa.Table,
    parts: Iterator[Mapping[str, Sequence[Any]]],
    constants: Mapping[str, Any],
) -> None:
    if connection.dialect.name == "postgresql":
        _copy(connection, table, parts, constants)
        return
    cursor = connection.connection.cursor()
    try:
        for part in parts:
            if not len(next(iter(part.values()))):
                continue
            same = {name: values[0] for name, values in part.items() if _are_same(values)}
            if len(same) == len(part):  # else nothing would say how many rows there are
                same.popitem()
            other = {name: _bound(values) for name, values in part.items() if name not in same}
            fixed = {**constants, **same}
            into = _into(table, (*fixed, *other))
            _insert_sqlite(cursor, into, list(other.values()), tuple(fixed.values()))
    finally:
        cursor.close()


def _are_same(values: Sequence[Any]) -> bool:
    return bool(values[0] == values[-1]) and values.count(values[0]) == len(values)


def _bound(values: Sequence[Any]) -> Sequence[Any]:
    """Values as Python's sqlite3 binds them soonest: it looks for an adapter of each bytes, but of no bytearray."""
    return list(map(bytearray, values)) if set(map(type, values)) == {bytes} else values


def _into(table: sa.Table, names: Iterable[str]) -> str:
    return f'INSERT INTO "{table.name}" ({_quoted(names)})'


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _copy(
    connection: Connection,
    table: sa.Table,
    parts: Iterator[Mapping[str, Sequence[Any]]],
    constants: Mapping[str, Any],
) -> None:
    """COPY into Postgres. All parts have the same columns."""
    first = next(parts, None)
    if first is None or not len(next(iter(first.values()))):
        return
    dbapi: Any = connection.dialect.loaded_dbapi
    raw: Any = connection.connection
    codec = dbapi.extensions.encodings[raw.encoding]
    same = {name: (value,) for name, value in constants.items()}
    packed = (copy_binary.pack(table, {**same, **part}, codec) for part in itertools.chain((first,), parts))
    statement = f'COPY "{table.name}" ({_quoted((*same, *first))}) FROM STDIN (FORMAT BINARY)'
    cursor = raw.cursor()
    try:
        cursor.copy_expert(statement, copy_binary.Stream(packed), _COPY_BYTES)
    except dbapi.Error as error:
        if not raw.closed:
            raise
        connection.invalidate()
        raise LostConnectionError(str(error)) from error
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
    cursor: Any, insert_into: str, columns: Sequence[Sequence[Any]], constants: tuple[Any, ...]
) -> None:
    """Insert rows into SQLite; a value that is the same in all rows of a statement is bound once."""
    count = len(columns[0])
    step = max(1, min(_ROWS, (_VALUES - len(constants)) // len(columns)))
    statements: dict[tuple[Any, ...], str] = {}
    for low in range(0, count, step):
        rows = min(step, count - low)
        part = [column[low : low + rows] for column in columns]
        once = tuple(map(_are_same, part))
        statement = statements.get((rows, once))
        if statement is None:
            statement = statements[rows, once] = f"{insert_into} VALUES {_marks(len(constants), once, rows)}"
        bound = [*constants]
        for values, same in zip(part, once, strict=True):
            bound += values[:1] if same else values
        cursor.execute(statement, bound)


def _marks(constants: int, once: Sequence[bool], rows: int) -> str:
    """The places of values in the rows of a statement: those of constants first, then column by column."""
    starts = list(itertools.accumulate((1 if same else rows for same in once), initial=constants + 1))[:-1]
    fixed = [f"?{1 + k}" for k in range(constants)]
    numbers = [
        [start if same else start + row for start, same in zip(starts, once, strict=True)]
        for row in range(rows)
    ]
    return ", ".join(f"({', '.join(fixed + [f'?{number}' for number in row])})" for row in numbers)
