"""The inputs that the vectors in tests/vectors/commp name, made again from their descriptions."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

PIECE = 1 << 20


def stream(description: dict[str, Any]) -> Iterator[bytes]:
    """The bytes of one described input, about a MiB at a time."""
    kind = description["gen"]
    if kind == "concat":
        for part in description["parts"]:
            yield from stream(part)
    elif kind == "text":
        yield str(description["text"]).encode()
    elif kind == "repeat":
        yield from cut(itertools.repeat(bytes([description["byte"]]) * PIECE), description["size"])
    elif kind == "sha256ctr":
        yield from cut(counter_blocks(description["seed"].encode()), description["size"])
    elif kind == "sha512chain":
        yield from cut(chained_blocks(), description["size"])
    else:
        raise ValueError(f"unknown kind of stream: {kind}")


def cut(blocks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes of an endless run of blocks, in pieces of any size."""
    piece = bytearray()
    while size > 0:
        while len(piece) < min(size, PIECE):
            piece += next(blocks)
        yield bytes(piece[:size])
        size -= len(piece)
        piece.clear()


def counter_blocks(seed: bytes) -> Iterator[bytes]:
    """SHA-256 of the seed and an eight-byte big-endian counter, again and again."""
    return (hashlib.sha256(seed + i.to_bytes(8, "big")).digest() for i in itertools.count())


def chained_blocks() -> Iterator[bytes]:
    """SHA-512 of nothing, then of the block before."""
    block = b""
    while True:
        block = hashlib.sha512(block).digest()
        yield block
