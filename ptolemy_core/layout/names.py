"""Names inside a CAR: of shards, and of real files whose names look like a shard's.

Shard N of `b.bin` is named `b.bin.ptolemyN`. A real name that ends like that gets `.ptolemy_` appended, so that both
can be in one folder; `decode` reverses either. Names are bytes, never decoded to text.
"""

import re

_MARK = b".ptolemy"
_REAL = b".ptolemy_"
_RESERVED = re.compile(rb"\.ptolemy(?:[0-9]+|_)\Z", re.DOTALL)
_SHARD = re.compile(rb"(.*)\.ptolemy(0|[1-9][0-9]*)\Z", re.DOTALL)


def encode(name: bytes, shard: int | None = None) -> bytes:
    """The name inside a CAR of a whole entry, or of shard number `shard` of a split file."""
    if shard is not None:
        return name + _MARK + str(shard).encode("ascii")
    if _MARK in name and _RESERVED.search(name):
        return name + _REAL
    return name


def may_be_encoded(path: bytes) -> bool:
    """Whether a name in a path inside a CAR may differ from the real one: else `decode` changes none of them."""
    return _MARK in path


def decode(name: bytes) -> tuple[bytes, int | None]:
    """The real name for a name inside a CAR, and the shard's number (None for a whole entry)."""
    if name.endswith(_REAL):
        return name[: -len(_REAL)], None
    match = _SHARD.match(name)
    return (match[1], int(match[2])) if match else (name, None)
