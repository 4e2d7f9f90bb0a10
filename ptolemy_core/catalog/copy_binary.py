"""Rows as Postgres' COPY takes them in binary form.

Specification: "Binary Format" of COPY in the documentation of Postgres, and the binary forms of its types.
"""

import itertools
import struct
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What comes before the first row: signature, flags, and the length of an extension that there is not."""

END = b"\xff\xff"
"""What comes after the last row."""

_LENGTH = struct.Struct(">i")
_NULL = _LENGTH.pack(-1)
_NUMBERS: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.SmallInteger, ">i2"),
    (sa.BigInteger, ">i8"),
    (sa.Integer, ">i4"),  # after its subclasses
    (sa.Float, ">f8"),
    (sa.Boolean, "?"),
)
_Bytes: TypeAlias = NDArray[np.uint8]


def pack(table: sa.Table, columns: dict[str, Sequence[Any]], codec: str) -> bytes:
    """Rows, given by their columns.

    Args:
        table: that the columns are of.
        columns: values by name, of one length; one value alone is the same in all rows.
        codec: of texts: the connection's.
    """
    count = max(map(len, columns.values()))
    pieces: list[Sequence[bytes]] = []
    fixed: list[_Bytes] = [_once(struct.pack(">h", len(columns)))]
    for name, values in columns.items():
        kind = form(table.c[name])
        first = values[0]
        if len(values) < count or values.count(first) == count:
            fixed.append(_once(_field(first, kind, codec)))
        elif kind and None not in values:
            numbers = np.array(values, dtype=kind)
            fixed.append(_once(_LENGTH.pack(numbers.itemsize)))
            fixed.append(numbers.view(np.uint8).reshape(count, numbers.itemsize))
        else:
            data = [None if value is None else _encoded(value, kind, codec) for value in values]
            lengths = [-1 if value is None else len(value) for value in data]
            fixed.append(np.array(lengths, dtype=">i4").view(np.uint8).reshape(count, 4))
            pieces += [_records(fixed, count), [value or b"" for value in data]]
            fixed = []
    if fixed:
        pieces.append(_records(fixed, count))
    return b"".join(itertools.chain.from_iterable(zip(*pieces, strict=True)))


def form(column: sa.Column[Any]) -> str | None:
    """NumPy's name of the binary form of a column's numbers; None for texts and bytes."""
    return next((form for of, form in _NUMBERS if isinstance(column.type, of)), None)


def _encoded(value: Any, number: str | None, codec: str) -> bytes:
    if number:
        return np.array(value, dtype=number).tobytes()
    return value.encode(codec) if isinstance(value, str) else bytes(value)


def _field(value: Any, number: str | None, codec: str) -> bytes:
    if value is None:
        return _NULL
    data = _encoded(value, number, codec)
    return _LENGTH.pack(len(data)) + data


def _once(data: bytes) -> _Bytes:
    """The same bytes in each row."""
    return np.frombuffer(data, dtype=np.uint8).reshape(1, -1)


def _records(parts: Sequence[_Bytes], count: int) -> list[bytes]:
    """For each row its part of each of these, one after the other."""
    width = sum(part.shape[1] for part in parts)
    records = np.empty((count, width), dtype=np.uint8)
    at = 0
    for part in parts:
        records[:, at : at + part.shape[1]] = part
        at += part.shape[1]
    found: list[bytes] = records.view(f"V{width}")[:, 0].tolist()
    return found


class Stream:
    """Packed parts, for psycopg2 to read."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        """All of them, in order; no head and end."""
        self._parts = itertools.chain((HEAD,), parts, (END,))
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._rest = memoryview(part)
        found, self._rest = self._rest[:size], self._rest[size:]
        return bytes(found)
