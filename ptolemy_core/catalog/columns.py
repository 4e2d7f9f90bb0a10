"""Rows of a query as columns: millions of them, without an object for each."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import sqlalchemy as sa
from sqlalchemy.engine import Connection

PAGE = 10_000
"""Rows of one page."""

_MANY = 100_000
"""Rows of one query, beyond which SQLite frees its cache afterwards."""

Columns = list[Sequence[Any]]
"""The values of each of a query's columns; at least one row."""


class Packed(Sequence[bytes]):
    """Values of one length, side by side: a fifth of what an object for each takes."""

    def __init__(self, length: int) -> None:
        """None yet, of so many bytes each."""
        self._length = length
        self._bytes = bytearray()

    def extend(self, values: Iterable[bytes]) -> None:
        """Add values."""
        self._bytes += b"".join(values)

    def __len__(self) -> int:
        return len(self._bytes) // self._length

    @overload
    def __getitem__(self, at: int) -> bytes: ...

    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...

    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        numbers = range(len(self))[at]
        if isinstance(numbers, range):
            return [self[number] for number in numbers]
        return bytes(self._bytes[numbers * self._length : (numbers + 1) * self._length])

    def __iter__(self) -> Iterator[bytes]:
        data, length = self._bytes, self._length
        return (bytes(data[at : at + length]) for at in range(0, len(data), length))


def pages(
    connection: Connection, query: sa.Select[Any], size: int = PAGE, **values: Any
) -> Iterator[Columns]:
    """The rows of a query, so many at a time. Binary values are bytes; others are as the database has them.

    Args:
        connection: of the catalog.
        query: whose columns need no conversion, as the catalog's numbers, texts and bytes.
        size: rows of a page.
        values: of the query's parameters.
    """
    if connection.dialect.name == "sqlite":
        result = connection.execute(query, values)
        cursor: Any = result.cursor  # its rows are plain tuples, and none of them is read yet
        read = 0
        try:
            while rows := cursor.fetchmany(size):
                read += len(rows)
                yield list(zip(*rows, strict=True))
                del rows
        finally:
            result.close()
            if read >= _MANY:  # the cache holds rows that are read only once
                connection.exec_driver_sql("PRAGMA shrink_memory")
        return
    for page in connection.execute(query, values, execution_options={"yield_per": size}).partitions():
        yield list(zip(*page, strict=True))
