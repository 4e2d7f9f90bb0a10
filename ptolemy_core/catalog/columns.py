"""Rows of a query as columns: millions of them, without an object for each."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from ptolemy_core import garbage

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


class NumberColumn:
    """Numbers, added page by page. Those that are all the same, as most are, take no memory."""

    def __init__(self, dtype: type[np.signedinteger[Any]]) -> None:
        """None yet, of this type."""
        self._dtype = dtype
        self._parts: list[NDArray[Any]] = []

    def extend(self, values: Sequence[int]) -> None:
        """Add numbers; at least one."""
        part = np.array(values, dtype=self._dtype)
        first = part[:1].copy()
        self._parts.append(np.broadcast_to(first, part.shape) if (part == first).all() else part)

    def whole(self) -> NDArray[Any]:
        """All of them; they can't be changed, and can't be added to."""
        parts, self._parts = self._parts, []
        if not parts:
            return np.zeros(0, dtype=self._dtype)
        if all(part.strides == (0,) and part[0] == parts[0][0] for part in parts):
            return np.broadcast_to(parts[0][:1], (sum(map(len, parts)),))
        out = np.empty(sum(map(len, parts)), dtype=self._dtype)
        at = 0
        for part in parts:
            out[at : at + len(part)] = part
            at += len(part)
        return out


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
                garbage.give_back()
        return
    for page in connection.execute(query, values, execution_options={"yield_per": size}).partitions():
        yield list(zip(*page, strict=True))
