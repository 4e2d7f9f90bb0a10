"""Rows of a query as columns: millions of them, without an object for each."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

PAGE = 10_000
"""Rows of one page."""

Columns = list[Sequence[Any]]
"""The values of each of a query's columns; at least one row."""


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
        try:
            while rows := cursor.fetchmany(size):
                yield list(zip(*rows, strict=True))
        finally:
            result.close()
        return
    for page in connection.execute(query, values, execution_options={"yield_per": size}).partitions():
        yield list(zip(*page, strict=True))
