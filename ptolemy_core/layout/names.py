"""Names within a CAR: shards of split files, and real files that are named as a shard would be.

Shard N of `b.bin` stands as `b.bin.ptolemyN`. A real name that ends like that gets `.ptolemy_` behind it, so
that both can stand in one folder; `decode` takes either back. Names are bytes, never decoded.
"""

import re

_MARK = b".ptolemy"
_REAL = b".ptolemy_"
_RESERVED = re.compile(rb"\.ptolemy(?:[0-9]+|_)\Z", re.DOTALL)
_SHARD = re.compile(rb"(.*)\.ptolemy(0|[1-9][0-9]*)\Z", re.DOTALL)


def encode(name: bytes, shard: int | None = None) -> bytes:
    """The name within a CAR of a whole entry, or of shard number `shard` of a split file."""
    if shard is not None:
        return name + _MARK + str(shard).encode("ascii")
    if _MARK in name and _RESERVED.search(name):
        return name + _REAL
    return name


def decode(name: bytes) -> tuple[bytes, int | None]:
    """The real name behind a name within a CAR, and the shard's number (None: a whole entry)."""
    if name.endswith(_REAL):
        return name[: -len(_REAL)], None
    match = _SHARD.match(name)
    return (match[1], int(match[2])) if match else (name, None)
